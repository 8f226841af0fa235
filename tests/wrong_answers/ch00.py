"""Typical wrong answers to chapter 00, and the hint each of them should get."""


def first_wrong(answers, target, count_from):
    for loop in range(len(answers) - 1, -1, -1):
        if answers[loop] != target:
            return loop + 1 + count_from
    return count_from


def right_in_the_end(answers, target):
    good = [loop for loop, answer in enumerate(answers, 1) if answer != target]
    return good[-1] + 1 if good else 1


def last_right(answers, target):
    return max((loop for loop, answer in enumerate(answers, 1) if answer == target), default=None)


# exercise -> [(wrong answer, part of the sentence it should get)]
BANK = {
    "00.1": [
        (lambda layers, loops: layers + loops, "adds the two numbers"),
        (lambda layers, loops: layers**loops, "that is a power"),
        (lambda layers, loops: loops, "counts loops"),
        (lambda layers, loops: layers, "the model has"),
        (lambda layers, loops: layers * (loops + 1), "one loop too many"),
        (lambda layers, loops: print(layers * loops), "returns nothing"),
    ],
    "00.2": [
        (lambda answers, target: first_wrong(answers, target, 0), "after loop 1"),
        (
            lambda answers, target: answers.index(target) + 1 if target in answers else None,
            "first right answer; it may be taken back",
        ),
        (
            lambda answers, target: answers.index(target) if target in answers else None,
            "counted from 0",
        ),
        (last_right, "last loop that is right"),
        (lambda answers, target: answers.count(target), "counts right answers"),
        (right_in_the_end, "return None"),
    ],
}
