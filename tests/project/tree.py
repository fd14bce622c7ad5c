"""The package as rooms and arrows: `python tests/project/tree.py [PACKAGE] [--arrows]`.

A room is what lies in the root of the package: a folder, or a file on its own. An arrow leads from a room to
another one that it imports. A floor is the longest way down: a room without arrows is on floor 1.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "bulk_invite"

Arrows = Mapping[str, set[str]]
"""The imports of each place."""


class RelativeImportError(Exception):
    """A file with a relative import, whose target the dots do not name."""


@dataclass(frozen=True)
class Tree:
    """The modules of a package, and what they import."""

    package: Path

    @cached_property
    def files(self) -> list[Path]:
        return sorted(self.package.rglob("*.py"))

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Files by their dotted name below the package: "pacing.pacer", "pacing", "" for the package."""
        return {self.name(file): file for file in self.files}

    def name(self, file: Path) -> str:
        parts = file.relative_to(self.package).with_suffix("").parts
        return ".".join(parts).removesuffix("__init__").rstrip(".")

    def imports(self, file: Path) -> Iterator[str]:
        """Absolute names of all modules that a file imports, wherever in the file."""
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    yield from (each.name for each in names)
                case ast.ImportFrom(module=str(module), level=0, names=names):
                    yield from (self._imported(module, each.name) for each in names)
                case ast.ImportFrom():
                    raise RelativeImportError(file)
                case _:
                    pass

    def _imported(self, module: str, name: str) -> str:
        """The module that `from module import name` leads to: `name` is one, or is defined in `module`."""
        package, _, inner = f"{module}.{name}".partition(".")
        return f"{module}.{name}" if package == self.package.name and inner in self.modules else module

    def own_imports(self, file: Path) -> Iterator[str]:
        """Modules of the package itself that a file imports."""
        for imported in self.imports(file):
            package, _, module = imported.partition(".")
            if package == self.package.name:
                yield module

    def folder(self, module: str) -> str:
        """The dotted name of the folder that a module lies in: "" for the root."""
        is_folder = self.modules[module].name == "__init__.py" if module in self.modules else False
        return module if is_folder else module.rpartition(".")[0]

    def rooms(self) -> Arrows:
        """The imports of each room; the root of the package itself is none."""
        arrows: dict[str, set[str]] = {}
        for module, file in self.modules.items():
            room = module.partition(".")[0]
            if room:
                others = {each.partition(".")[0] for each in self.own_imports(file)}
                arrows.setdefault(room, set()).update(others - {room, ""})
        return arrows

    def folders(self) -> Arrows:
        """The imports of each folder at any depth. Files in the root are left out."""
        arrows: dict[str, set[str]] = {}
        for module, file in self.modules.items():
            if here := self.folder(module):
                others = {self.folder(each) for each in self.own_imports(file)}
                arrows.setdefault(here, set()).update(others - {here, ""})
        return arrows


def circle(arrows: Arrows) -> set[str]:
    """Places that import each other in a circle, and those that lead into one."""
    left = dict(arrows)
    while leaves := {place for place, targets in left.items() if not targets & set(left)}:
        left = {place: targets for place, targets in left.items() if place not in leaves}
    return set(left)


def floors(arrows: Arrows) -> dict[str, int]:
    """The floor of each place. A circle has none: its places are left out."""
    found: dict[str, int] = {}
    while ready := {
        place
        for place, targets in arrows.items()
        if place not in found and all(each in found for each in targets if each in arrows)
    }:
        found |= {
            place: 1 + max((found.get(each, 0) for each in arrows[place]), default=0) for place in ready
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the rooms of the package, its floors and arrows.")
    parser.add_argument("package", nargs="?", type=Path, default=PACKAGE)
    parser.add_argument("--arrows", action="store_true", help="say for each room what it imports")
    given = parser.parse_args()
    tree = Tree(given.package.resolve())
    arrows = tree.rooms()
    floor_of = floors(arrows)
    count = sum(map(len, arrows.values()))
    print(f"{len(arrows)} rooms on {max(floor_of.values())} floors, {count} arrows", end="; ")
    print(f"in a circle, or above one: {', '.join(sorted(circle(arrows))) or 'none'}")
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in tree.files)
    print(f"{len(tree.files)} files, {lines} lines")
    if given.arrows:
        for room in sorted(arrows, key=lambda each: (-floor_of.get(each, 0), each)):
            print(f"{floor_of.get(room, 0):>3}  {room:<18} {' '.join(sorted(arrows[room]))}")


if __name__ == "__main__":
    main()
