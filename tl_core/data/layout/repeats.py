"""The same class folders once more inside a download: copies are left out, other files are joined.

Archives are often packed around themselves (``PlantVillage/PlantVillage/...``), and what would be a
class by its place is the whole set again, the rest of it, its test part or another rendering.
"""

from __future__ import annotations

from tl_core.data.layout.folder_structure import is_variant, unwrap
from tl_core.data.layout.split_names import parts_of_folders
from tl_core.data.layout.tree import Folder, Tree

_SHARED = 0.6  # of a folder's folders that must have the names of those around it
_COMPARED = 16  # files of which all bytes are compared, beside the sizes of all


def join_repeats(tree: Tree) -> None:
    """Take folders that hold the class folders around them once more out of a tree.

    A copy and another rendering are left out by name, other files are counted to their classes.
    Where the folder is a part such as ``test``, the folders around it become train.
    """
    gone: list[str] = []
    for around in list(tree.top.walk()):
        if around.path.startswith(tuple(gone)):
            continue
        for name, child in list(around.filled.items()):
            inner = unwrap(child)[-1]
            first = _first_of(around, name, inner)
            if first is None:
                continue
            if first is around and parts_of_folders([name]):
                _make_train(around)
                break
            del around.folders[name]
            gone.append(child.path)
            if first is around and is_variant(name):
                tree.ignored["variant"].append(child.path)
            elif _is_copy(tree, inner, first):
                tree.ignored["copy"].append(child.path)
            else:
                tree.joined.append(child.path)
                _join(inner, first)
    if gone:
        for folder in tree.top.walk():
            folder.__dict__.pop("num_images", None)  # counted before


def _first_of(around: Folder, name: str, inner: Folder) -> Folder | None:
    """Return the folder whose folders ``inner`` repeats: that around it, or a twin beside it."""
    if _repeats(inner, {one for one in around.filled if one != name}):
        return around
    if inner.name.casefold() != name.casefold():
        return None
    for other, beside in around.filled.items():
        is_twin = other != name and other.casefold() == name.casefold()
        if is_twin and _depth(inner) > _depth(beside) and _repeats(inner, set(beside.filled)):
            return beside
    return None


def _repeats(inner: Folder, names: set[str]) -> bool:
    own = inner.filled.keys()
    return len(own & names) >= max(2, _SHARED * len(own))


def _depth(folder: Folder) -> int:
    return folder.path.count("/")


def _is_copy(tree: Tree, inner: Folder, first: Folder) -> bool:
    """Whether each image of ``inner`` is in ``first`` at the same place with the same bytes."""
    there = {image.path.removeprefix(first.path): image for image in first.all_images()}
    pairs = []
    for image in inner.all_images():
        twin = there.get(image.path.removeprefix(inner.path))
        if twin is None or twin.num_bytes != image.num_bytes:
            return False
        pairs.append((tree.root / image.path, tree.root / twin.path))
    try:
        some = pairs[:: -(-len(pairs) // _COMPARED)]
        return all(one.read_bytes() == other.read_bytes() for one, other in some)
    except OSError:
        return False


def _join(inner: Folder, first: Folder) -> None:
    """Count what lies in one folder to those of the same names in another."""
    first.images += inner.images
    for name, folder in inner.folders.items():
        if name not in first.folders:
            first.folders[name] = folder
            continue
        first.folders[name].joined.append(folder.path)
        _join(folder, first.folders[name])


def _make_train(around: Folder) -> None:
    """Make those folders train that are neither a part nor empty; the others stand beside it."""
    parts = parts_of_folders(around.filled)
    train = Folder(around.path)
    train.folders = {name: one for name, one in around.folders.items() if name not in parts}
    around.folders = {
        "train": train,
        **{name: one for name, one in around.folders.items() if name in parts},
    }
