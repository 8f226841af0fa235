"""Names of tensors as wrappers around a model have changed them, put back where that is clear."""

from collections.abc import Iterable
from dataclasses import replace

from looplab.zoo.files import Stored

# What torch.compile, DataParallel and FSDP put into a name, at its front or in its middle
WRAPPERS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# Ends of names that only quantised weights have, of GPTQ and AWQ, bitsandbytes, FP8, compressed
# tensors and MLX
_QUANTISED = (
    ".qweight",
    ".qzeros",
    ".scales",
    ".g_idx",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_packed",
    ".input_scale",
    ".absmax",
    ".quant_map",
    ".SCB",
)


def unwrapped(stored: dict[str, Stored]) -> dict[str, Stored]:
    """The tensors under the names that they had before their model was wrapped.

    Raises ValueError naming file and tensor for quantised weights, for an adapter's, and where a
    name would be there twice.

    >>> from pathlib import Path
    >>> list(unwrapped({"_orig_mod.norm.weight": Stored(Path("w.safetensors"), (4,), "F32")}))
    ['norm.weight']
    """
    found: dict[str, Stored] = {}
    for name, tensor in stored.items():
        if name.endswith(_QUANTISED) or ".quant_state." in name:
            raise ValueError(
                f"{tensor.file} has a tensor {name}, of quantised weights: get the model before it "
                "was quantised"
            )
        if ".lora_" in name:
            raise ValueError(
                f"{tensor.file} has a tensor {name}, an adapter's: merge it into its model first, "
                "with merge_and_unload of peft"
            )
        _put(found, ".".join(part for part in name.split(".") if part not in WRAPPERS), tensor)
    return found


def aligned(stored: dict[str, Stored], wanted: Iterable[str]) -> dict[str, Stored] | None:
    """The tensors with one more or one less prefix, where that makes the names those `wanted`.

    A model inside another one has `model.` twice, a base model saved alone has none. None where
    no prefix makes more of the wanted names.

    >>> from pathlib import Path
    >>> one = {"net.a.weight": Stored(Path("w.safetensors"), (4,), "F32")}
    >>> list(aligned(one, ["a.weight"])), aligned(one, ["b.weight"])
    (['a.weight'], None)
    """
    wanted = set(wanted)
    best, most = None, len(wanted & stored.keys())
    sample = max(wanted, key=len)
    more = {n.removesuffix(sample) for n in stored if n.endswith(f".{sample}")}
    less = {sample.removesuffix(n) for n in stored if sample.endswith(f".{n}")}
    for prefix in sorted(more):
        renamed: dict[str, Stored] = {}
        for name, tensor in stored.items():
            _put(renamed, name.removeprefix(prefix), tensor)
        if len(wanted & renamed.keys()) > most:
            best, most = renamed, len(wanted & renamed.keys())
    for prefix in sorted(less):
        renamed = {}
        for name, tensor in stored.items():
            _put(renamed, name if name in wanted else f"{prefix}{name}", tensor)
        if len(wanted & renamed.keys()) > most:
            best, most = renamed, len(wanted & renamed.keys())
    return best


def _put(found: dict[str, Stored], name: str, tensor: Stored) -> None:
    if name in found:
        raise ValueError(
            f"{tensor.file} has {name} twice, as {found[name].name} and as {tensor.name}: which "
            "one counts cannot be told, save the model without its wrapper"
        )
    found[name] = replace(tensor, name=tensor.name or name)
