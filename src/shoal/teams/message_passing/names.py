"""First names for the nodes of a graph: 200 of them, numbered copies beyond that."""

from __future__ import annotations

from shoal.runs.seeds import generator

_NAMES = """
    Ada Adam Agnes Aisha Alan Albert Alice Alma Amir Amy Ana Andrei Anita Anton Arlo Arthur Asha Astrid Aurora Axel
    Basil Beatrix Bella Benito Bernard Bianca Bjorn Boris Brenda Bruno Callum Camila Carl Carmen Cecil Celia
    Clara Claude Conrad Cora Cyrus Dahlia Damian Daphne Darius Delia Diego Dina Dmitri Dora Douglas Edgar Edith Eli
    Elsa Emil Enzo Erik Esme Esther Ethan Eva Fabian Farah Felix Fiona Flora Frank Freya Gavin Georg Gina Gloria
    Goran Greta Gustav Hana Harold Hassan Hazel Hector Helga Henry Hilda Hiro Hugo Ibrahim Ida Igor Imogen Ines Ingrid
    Irene Isaac Ivan Jack Jana Jasper Jelena Joan Jonas Jorge Judith Julia Kai Kamala Karim Karin Keiko Kenji Kira
    Klaus Lara Lars Leila Lena Leo Levi Lidia Linus Liv Lorenzo Louis Lucia Luka Lydia Mabel Magnus Mai Malik Marco
    Maria Martin Mathilda Max Maya Meera Milan Mina Miriam Mona Nadia Naomi Nell Niels Nikolai Nina Noah Nora Olaf
    Olga Oliver Omar Oscar Otto Pablo Paula Pavel Pearl Pedro Petra Philip Pia Quentin Rachel Ravi Rebecca Rene Rita
    Robert Rosa Rufus Ruth Sadie Salma Samuel Sara Selma Silas Simon Sofia Stella Sven Tamara Tariq Thea Theo Thomas
    Tomas Ulla Vera Victor Viola Walter Wanda Xavier Yara Yusuf Zelda Zora
"""

FIRST_NAMES: tuple[str, ...] = tuple(_NAMES.split())


def draw_names(count: int, seed: int) -> tuple[str, ...]:
    """``count`` distinct names in random order; the second copy of Ada is "Ada 2", and so on."""
    copies = -(-count // len(FIRST_NAMES))
    pool = [name if copy == 0 else f"{name} {copy + 1}" for copy in range(copies) for name in FIRST_NAMES]
    order = generator(seed, "names").permutation(len(pool))[:count]
    return tuple(pool[i] for i in order)
