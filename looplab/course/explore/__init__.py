"""Pages of the web edition on which the models run: the loop is a loop in JavaScript.

`runtime` fetches onnxruntime-web, `models` exports the course's models for it, and `pages` writes a
folder of pages that need no kernel and no network: from a server, and from a memory stick too.
"""
