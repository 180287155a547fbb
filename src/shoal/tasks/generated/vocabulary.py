"""Words that generated problems are made of."""

# Word lists read better as text than as 130 quoted strings.
# ruff: noqa: SIM905

from __future__ import annotations

PEOPLE = (
    "Ada Ben Cleo Dan Eva Finn Gia Hugo Iris Jon Kira Leo Mia Nils Olga Paul Quinn Rosa Sam Tara Uri Vera Will Yara Zoe"
).split()
COLOURS = "red blue green yellow black white brown grey orange purple pink silver".split()
CONTAINERS = "box bag drawer basket locker jar crate chest".split()
WORDS = (
    "anchor apple arrow autumn badge bamboo barrel basket beacon blanket bottle branch bridge bucket butter button "
    "candle canvas carpet castle cedar chalk cherry cider circle clover coffee copper coral cotton cradle crystal "
    "dagger daisy desert dragon eagle ember engine falcon feather fiddle flame forest fountain garden ginger glacier "
    "granite hammer harbour harvest hazel helmet hollow honey island ivory jacket jewel jungle kettle kitten ladder "
    "lantern lemon lettuce lily magnet maple marble meadow mirror monkey needle nickel oasis olive orange orchard "
    "oyster paddle parrot pebble pepper piano pigeon pillow planet pocket puzzle quartz rabbit ribbon river rocket "
    "saddle salmon shadow silver spider spoon stable stream summer sunset table temple thunder ticket tiger timber "
    "tunnel turtle velvet violin walnut whistle willow window winter zebra"
).split()
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
KINDS_OF_THINGS = {
    "animals": "cat dog rabbit horse goat duck snail frog bear mouse".split(),
    "fruits": "apple banana plum peach pear orange grape melon lemon nectarine".split(),
    "musical instruments": "flute piano drum violin trumpet clarinet guitar trombone cello harp".split(),
    "pieces of furniture": "chair table bed lamp sofa desk stool shelf bench wardrobe".split(),
    "vegetables": "carrot onion cabbage potato turnip leek radish pumpkin cucumber pepper".split(),
}


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """The plural of a regular noun, and of the irregular ones used here."""
    if noun in ("mouse", "shelf"):
        return {"mouse": "mice", "shelf": "shelves"}[noun]
    if noun[-1] == "y" and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("ch", "sh", "x", "s")) or noun == "potato" else "s")


def joined(parts: list[str]) -> str:
    """The parts as in "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
