"""Word problems with worked answers, in the form of GSM8K: text for language models.

Sentences and numbers are our own, so that no language model was trained on these very items.
"""

from collections.abc import Callable
from random import Random

__all__ = ["word_problems"]

NAMES = (
    *("Mara", "Tom", "Lena", "Omar", "Nina", "Sam", "Grace", "Ben", "Ella", "Jack"),
    *("Dana", "Ivy", "Ruth", "Max", "Priya", "Luis", "Amara", "Kenji", "Sofia", "Noah"),
    *("Zara", "Felix", "Hana", "Diego", "Clara", "Theo", "Leila", "Marcus", "Freya", "Anton"),
)
FRUIT = ("apples", "pears", "plums", "peaches", "lemons", "oranges", "cherries", "figs")
THINGS = ("stickers", "marbles", "stamps", "shells", "cards", "beads", "buttons", "coins")
ANIMALS = (("cow", "cows", "milk"), ("goat", "goats", "milk"), ("sheep", "sheep", "milk"))


def word_problems(count: int, seed: int = 0) -> list[str]:
    """Problems that differ, each "Question: ...\\nAnswer: ..." with its steps and a last number.

    They are drawn evenly from sixteen stories; the same seed gives the same problems, and a longer
    list begins with a shorter one. Raises ValueError for a count that is not above 0.

    Source: the form of GSM8K, arXiv 2110.14168.

    >>> print(word_problems(1, seed=3)[0])  # doctest: +ELLIPSIS
    Question: ...
    Answer: ...
    """
    if count < 1:
        raise ValueError(f"count={count}: expected at least 1 problem")
    random = Random(seed)
    found: list[str] = []
    while len(found) < count:
        for story in random.sample(STORIES, len(STORIES)):
            question, answer = story(random)
            text = f"Question: {question}\nAnswer: {answer}"
            if text not in found:
                found.append(text)
    return found[:count]


def _basket(r: Random) -> tuple[str, str]:
    who, fruit, a, k, bag = r.choice(NAMES), r.choice(FRUIT), r.randint(6, 19), r.randint(2, 3), 3
    b, rest = a * k, r.randint(4, 12) * bag
    give = a + b - rest
    if give < 2:
        return _basket(r)
    times = {2: "twice", 3: "three times"}[k]
    return (
        f"{who} picks {a} {fruit} in the morning and {times} as many in the afternoon. {who} gives "
        f"{give} of them to a neighbor and puts the rest into bags of {bag}. How many bags are "
        "filled?",
        f"In the afternoon {who} picks {a} * {k} = {b} {fruit}. Together that is {a} + {b} = "
        f"{a + b} {fruit}. After giving {give} away, {a + b} - {give} = {rest} are left. They fill "
        f"{rest} / {bag} = {rest // bag} bags. The answer is {rest // bag}.",
    )


def _bus(r: Random) -> tuple[str, str]:
    start, off, on = r.randint(12, 24) * 2, r.randint(3, 6) * 2, r.randint(2, 5) * 2
    now = start - off + on
    return (
        f"A bus leaves the station with {start} passengers. At the first stop {off} people get off "
        f"and {on} get on. At the second stop half of the passengers get off. How many passengers "
        "are left on the bus?",
        f"After the first stop there are {start} - {off} + {on} = {now} passengers. Half of them "
        f"get off, so {now} / 2 = {now // 2} passengers are left. The answer is {now // 2}.",
    )


def _reading(r: Random) -> tuple[str, str]:
    who, week, end = r.choice(NAMES), r.randint(10, 30), r.randint(31, 50)
    total = week * 5 + end * 2
    left = r.randint(20, 90)
    return (
        f"{who} reads {week} pages of a book every day from Monday to Friday and {end} pages on "
        f"each day of the weekend. The book has {total + left} pages. How many pages are left "
        "after one week?",
        f"From Monday to Friday {who} reads {week} * 5 = {week * 5} pages. On the weekend {who} "
        f"reads {end} * 2 = {end * 2} pages. Together that is {week * 5} + {end * 2} = {total} "
        f"pages. So {total + left} - {total} = {left} pages are left. The answer is {left}.",
    )


def _bakery(r: Random) -> tuple[str, str]:
    bread, cake = r.randint(3, 6), r.randint(12, 20)
    loaves, cakes, cost = r.randint(20, 45), r.randint(4, 9), r.randint(40, 90)
    a, b = bread * loaves, cake * cakes
    return (
        f"A baker sells loaves of bread for ${bread} each and cakes for ${cake} each. On Saturday "
        f"the baker sells {loaves} loaves and {cakes} cakes. Flour and sugar cost ${cost}. How "
        "much profit does the baker make?",
        f"The loaves bring {loaves} * {bread} = ${a}. The cakes bring {cakes} * {cake} = ${b}. "
        f"Together that is {a} + {b} = ${a + b}. The profit is {a + b} - {cost} = ${a + b - cost}. "
        f"The answer is {a + b - cost}.",
    )


def _pencils(r: Random) -> tuple[str, str]:
    who, friends, each, boxes = r.choice(NAMES), r.randint(4, 9), r.randint(5, 9), r.randint(2, 4)
    lost, box = r.randint(2, 4), friends * each
    total = boxes * box
    got = total // friends
    return (
        f"{who} has {boxes} boxes with {box} pencils each. {who} shares the pencils equally among "
        f"{friends} friends. Each friend then loses {lost} pencils. How many pencils does each "
        "friend have?",
        f"{who} has {boxes} * {box} = {total} pencils. Each friend gets {total} / {friends} = "
        f"{got} pencils. After losing {lost}, each friend has {got} - {lost} = {got - lost} "
        f"pencils. The answer is {got - lost}.",
    )


def _farm(r: Random) -> tuple[str, str]:
    one, many, what = r.choice(ANIMALS)
    count, each, keep, price = (
        r.randint(8, 25),
        r.randint(4, 22),
        r.randint(10, 30),
        r.randint(2, 4),
    )
    total = count * each
    return (
        f"A farmer has {count} {many}, and each {one} gives {each} liters of {what} a day. The "
        f"farmer keeps {keep} liters and sells the rest for ${price} a liter. How much money does "
        "the farmer earn each day?",
        f"The {many} give {count} * {each} = {total} liters a day. The farmer sells {total} - "
        f"{keep} = {total - keep} liters. That brings {total - keep} * {price} = "
        f"${(total - keep) * price}. The answer is {(total - keep) * price}.",
    )


def _saving(r: Random) -> tuple[str, str]:
    who, week, weeks, hat = r.choice(NAMES), r.randint(12, 25), r.randint(6, 12), r.randint(8, 20)
    saved, shoes = week * weeks, 2 * hat
    if saved <= shoes + hat:
        return _saving(r)
    return (
        f"{who} saves ${week} each week. After {weeks} weeks {who} buys a pair of shoes for "
        f"${shoes} and a hat that costs half as much as the shoes. How much money is left?",
        f"{who} saves {week} * {weeks} = ${saved}. The hat costs {shoes} / 2 = ${hat}. Together "
        f"that is {shoes} + {hat} = ${shoes + hat}. So {saved} - {shoes + hat} = "
        f"${saved - shoes - hat} is left. The answer is {saved - shoes - hat}.",
    )


def _pool(r: Random) -> tuple[str, str]:
    leak, net, hours = r.randint(3, 9), r.randint(20, 45), r.randint(6, 14)
    half = net * hours
    return (
        f"A swimming pool holds {2 * half} gallons of water. A hose fills it with {net + leak} "
        f"gallons every hour, but a leak loses {leak} gallons every hour. How many hours does it "
        "take to fill half of the pool?",
        f"Half of the pool is {2 * half} / 2 = {half} gallons. Every hour the pool gains "
        f"{net + leak} - {leak} = {net} gallons. It takes {half} / {net} = {hours} hours. "
        f"The answer is {hours}.",
    )


def _class(r: Random) -> tuple[str, str]:
    quarter, bike = r.randint(5, 9), r.randint(4, 9)
    total = 4 * quarter
    return (
        f"There are {total} students in a class. A quarter of them walk to school, {bike} of them "
        "ride a bike and the rest take the bus. How many students take the bus?",
        f"A quarter of {total} is {total} / 4 = {quarter} students. So {quarter} + {bike} = "
        f"{quarter + bike} students walk or ride a bike. The rest, {total} - {quarter + bike} = "
        f"{total - quarter - bike} students, take the bus. The answer is {total - quarter - bike}.",
    )


def _running(r: Random) -> tuple[str, str]:
    who, first, more = r.choice(NAMES), r.randint(2, 6), r.randint(2, 3)
    days = [first + more * day for day in range(4)]
    told = " + ".join(map(str, days))
    return (
        f"{who} runs {first} miles on Monday, and each day {more} miles more than on the day "
        f"before. How many miles does {who} run from Monday to Thursday?",
        f"{who} runs {days[0]}, {days[1]}, {days[2]} and {days[3]} miles on the four days. "
        f"Together that is {told} = {sum(days)} miles. The answer is {sum(days)}.",
    )


def _cinema(r: Random) -> tuple[str, str]:
    adult, child, corn = r.randint(9, 14), r.randint(5, 8), r.randint(6, 12)
    adults, children = r.randint(1, 3), r.randint(2, 5)
    a, c = adult * adults, child * children
    total = a + c + corn
    paid = (total // 20 + 1) * 20
    grown = "1 adult" if adults == 1 else f"{adults} adults"
    return (
        f"A movie ticket costs ${adult} for an adult and ${child} for a child. A family of {grown} "
        f"and {children} children also buys popcorn for ${corn}. How much change do they get from "
        f"${paid}?",
        f"The adults pay {adults} * {adult} = ${a}. The children pay {children} * {child} = ${c}. "
        f"With popcorn that is {a} + {c} + {corn} = ${total}. They get {paid} - {total} = "
        f"${paid - total} back. The answer is {paid - total}.",
    )


def _ages(r: Random) -> tuple[str, str]:
    (a, b, c), young, more, later = r.sample(NAMES, 3), r.randint(4, 12), r.randint(3, 9), 5
    middle = 2 * young
    old = middle + more
    return (
        f"{a} is {more} years older than {b}, and {b} is twice as old as {c}. {c} is {young} years "
        f"old. How old will {a} be in {later} years?",
        f"{b} is {young} * 2 = {middle} years old. {a} is {middle} + {more} = {old} years old. In "
        f"{later} years {a} will be {old} + {later} = {old + later} years old. The answer is "
        f"{old + later}.",
    )


def _factory(r: Random) -> tuple[str, str]:
    per, hours, bad = r.randint(10, 25) * 10, r.randint(6, 10), r.randint(2, 6)
    total = per * hours
    broken = total // 100 * bad
    if total % 100:
        return _factory(r)
    return (
        f"A factory makes {per} toys per hour and works {hours} hours a day. Out of every 100 "
        f"toys, {bad} are broken and thrown away. How many good toys does the factory make in a "
        "day?",
        f"The factory makes {per} * {hours} = {total} toys a day. Out of these {total} / 100 * "
        f"{bad} = {broken} toys are broken. It makes {total} - {broken} = {total - broken} good "
        f"toys. The answer is {total - broken}.",
    )


def _shop(r: Random) -> tuple[str, str]:
    who, books, pens, off = r.choice(NAMES), r.randint(3, 8), r.randint(2, 6), r.randint(2, 5)
    book, pen = r.randint(3, 6), 2
    a, b = books * book, pens * pen
    return (
        f"{who} buys {books} notebooks for ${book} each and {pens} pens for ${pen} each. The shop "
        f"takes ${off} off. How much does {who} pay?",
        f"The notebooks cost {books} * {book} = ${a} and the pens cost {pens} * {pen} = ${b}. "
        f"Together they cost {a} + {b} = ${a + b}. So {who} pays {a + b} - {off} = ${a + b - off}. "
        f"The answer is {a + b - off}.",
    )


def _garden(r: Random) -> tuple[str, str]:
    long, wide, price, gate = (
        r.randint(12, 30),
        r.randint(6, 11),
        r.randint(4, 9),
        r.randint(30, 80),
    )
    around = 2 * long + 2 * wide
    return (
        f"A garden is {long} feet long and {wide} feet wide. A fence around it costs ${price} for "
        f"each foot, and the gate costs another ${gate}. How much does everything cost?",
        f"The fence is 2 * {long} + 2 * {wide} = {around} feet long. It costs {around} * {price} = "
        f"${around * price}. With the gate everything costs {around * price} + {gate} = "
        f"${around * price + gate}. The answer is {around * price + gate}.",
    )


def _collection(r: Random) -> tuple[str, str]:
    (who, friend), what = r.sample(NAMES, 2), r.choice(THINGS)
    third, won, gave = r.randint(12, 35), r.randint(5, 20), r.randint(3, 12)
    total = 3 * third
    left = total - third
    return (
        f"{who} has {total} {what}. {who} loses a third of them, and then gets {won} {what} from "
        f"{friend}. Later {who} gives away {gave} {what}. How many {what} does {who} have now?",
        f"{who} loses {total} / 3 = {third} {what} and has {total} - {third} = {left} left. With "
        f"the new ones {who} has {left} + {won} = {left + won}. After giving {gave} away, "
        f"{left + won} - {gave} = {left + won - gave} are left. The answer is {left + won - gave}.",
    )


STORIES: tuple[Callable[[Random], tuple[str, str]], ...] = (
    _basket,
    _bus,
    _reading,
    _bakery,
    _pencils,
    _farm,
    _saving,
    _pool,
    _class,
    _running,
    _cinema,
    _ages,
    _factory,
    _shop,
    _garden,
    _collection,
)
