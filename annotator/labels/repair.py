"""Mending a project: whole acts are undone and redone, images deleted and brought back, renamed, given a spacing and
an orientation, and called films."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from annotator.labels.label_cache import LabelCache
from annotator.labels.turned.films import say_frames, title_of, to_change
from annotator.labels.turned.images import pass_on, turn_image
from annotator.labels.turned.turn import Turn, shown_anew
from annotator.protocol.outgoing import Message
from learners.text import count_of
from storage.events.acts import ActRow, NewAct
from storage.formats import Grid, grid_of_image
from storage.formats.grid import as_moments, shows_moments
from storage.formats.reoriented import Ends, as_told, reoriented
from storage.formats.respaced import respaced
from storage.rows import ImageRow
from storage.store import Store

SpacingMm = tuple[float, float, float]
DEPTH_FIRST = "say first that they are depth"


@dataclass(frozen=True)
class Repaired:
    """A line for the person, and the images whose labels are others now."""

    message: str
    images: frozenset[int] = frozenset()
    became: Mapping[int, int] = field(
        default_factory=dict
    )  # an image that is gone -> the one that stands for it
    unfilled: frozenset[int] = frozenset()  # images whose fills went with it, to be made anew


class Repair:
    """Thread-safe. Whatever it does is there as a whole or not at all. The same `key` again changes nothing and gets
    the first answer. Raises LookupError and ValueError with a sentence for the person."""

    def __init__(self, store: Store, folds: LabelCache) -> None:
        self._store, self._folds = store, folds

    def acts(self) -> list[Message]:
        """What can be undone or redone as a whole, newest first."""
        rows = self._store.acts.newest()
        return [
            {
                "id": a.id,
                "kind": a.kind,
                "title": a.title,
                "by": a.author,
                "at": a.created_at,
                "undone": a.undone,
            }
            for a in rows
            if not self._store.bin.emptied(a.id)
        ]

    def binned(self) -> list[Message]:
        return [asdict(image) for image in self._store.bin.images()]

    def undo(self, user: str, act_id: int, key: str = "") -> Repaired:
        """Take an act back: an import, a merged class, deleted images, a name, a header."""
        return self._once(key, lambda: self._turn(user, act_id, back=True))

    def redo(self, user: str, act_id: int, key: str = "") -> Repaired:
        return self._once(key, lambda: self._turn(user, act_id, back=False))

    def delete(self, user: str, image_ids: Sequence[int], key: str = "") -> Repaired:
        """Into the bin, with all labels; nothing learns from them or proposes for them any more."""

        def work() -> Repaired:
            names = {image_id: self._store.image(image_id).name for image_id in image_ids}
            if not names:
                raise ValueError("choose an image to delete first")
            some = ", ".join(list(names.values())[:3]) + (
                f" and {len(names) - 3} more" if len(names) > 3 else ""
            )
            title = f"Deleted {some}"
            with self._store.acts.doing(NewAct("delete-images", title, user), images=sorted(names)) as act:
                self._store.acts.revoke_images(names, user, act)
                self._store.bin.put(list(names), act)
            return Repaired(f"{title}; the bin keeps it until it is emptied", frozenset(names))

        return self._once(key, work)

    def bring_back(self, user: str, image_ids: Sequence[int], key: str = "") -> Repaired:
        """Out of the bin, with all labels that stood."""

        def work() -> Repaired:
            for image in (known := {i.id: i for i in self._store.bin.images()}).values():
                if image.id in image_ids:
                    self._store.acts.bring_image_again(image.id, image.act, user)
            self._store.bin.take_out(image_ids)
            self._settle(frozenset(image_ids))
            return Repaired(
                f"Brought back {', '.join(known[i].name for i in image_ids)}", frozenset(image_ids)
            )

        return self._once(key, work)

    def empty_bin(self) -> Repaired:
        """For good, and without a way back."""
        with self._folds.lock:
            count = self._store.bin.empty()
        return Repaired(f"{count} {'image' if count == 1 else 'images'} deleted for good")

    def rename(self, user: str, image_id: int, name: str, key: str = "") -> Repaired:
        def work() -> Repaired:
            before = self._store.image(image_id).name
            title = f"Renamed {before} to {name.strip()}"
            with self._store.acts.doing(
                NewAct("rename-image", title, user), image=image_id, before=before
            ) as act:
                self._store.rename_image(image_id, name)
                self._store.acts.note(act, after=self._store.image(image_id).name)
            return Repaired(title, frozenset([image_id]))

        return self._once(key, work)

    def set_spacing(self, user: str, image_id: int, spacing_mm: SpacingMm, key: str = "") -> Repaired:
        """In place of what the image's file said, or did not say: z, y and x in mm."""

        def work() -> Repaired:
            image, grid = self._lying(image_id)
            shown = " x ".join(f"{mm:g}" for mm in spacing_mm)
            title = f"Gave {image.name} a spacing of {shown} mm"
            return self._give_grid(user, image, respaced(grid, spacing_mm), title)

        return self._once(key, work)

    def set_orientation(self, user: str, image_id: int, low_ends: Ends, key: str = "") -> Repaired:
        """What the first slice, the top and the left of the screen are called; nothing on the screen moves."""

        def work() -> Repaired:
            image, grid = self._lying(image_id)
            z, y, x = low_ends
            title = f"Said of {image.name}: its first slice is {z}, its top {y}, its left {x}"
            return self._give_grid(user, image, reoriented(grid, low_ends), title)

        return self._once(key, work)

    def set_frames(self, user: str, image_ids: Sequence[int], frames: bool, key: str = "") -> Repaired:
        """Say of all volumes among these that their slices are frames in time, or that they are depth."""

        def work() -> Repaired:
            changed = to_change([self._store.image(image_id) for image_id in image_ids], frames)
            ids, title = [image.id for image in changed], title_of(changed, frames)
            with self._store.acts.doing(NewAct("frames", title, user), images=ids, frames=frames):
                say_frames(self._store, ids, frames)
            return Repaired(title, frozenset(ids), unfilled=frozenset(ids))

        return self._once(key, work)

    def take_header(self, user: str, image_id: int, told: Grid, origin: str) -> Repaired:
        """Spacing and place from the header of a file called `origin`."""

        def work() -> Repaired:
            image, grid = self._lying(image_id)
            return self._give_grid(
                user, image, as_told(grid, told), f"Gave {image.name} the header of {origin}"
            )

        return self._once("", work)

    def _lying(self, image_id: int) -> tuple[ImageRow, Grid]:
        image = self._store.image(image_id)
        return image, grid_of_image(image.geometry, image.shape, image.spacing_mm)

    def _give_grid(self, user: str, image: ImageRow, told: Grid, title: str) -> Repaired:
        grid, turn = shown_anew(grid_of_image(image.geometry, image.shape, image.spacing_mm), told)
        if turn.changes and turn.order[0] and shows_moments(image.geometry):
            raise ValueError(
                f"the slices of {image.name} are frames in time and cannot be turned; {DEPTH_FIRST}"
            )
        if turn.changes:
            return self._turn_image(user, image, grid, turn, title)
        before = self._store.sources.header(image.id)
        geometry = as_moments(grid.json(), shows_moments(image.geometry))
        after = {"spacing_mm": grid.spacing_mm, "marks": grid.marks, "geometry": geometry}
        facts = {"image": image.id, "before": before, "after": after}
        with self._store.acts.doing(NewAct("header", title, user), **facts):
            self._store.sources.replace_header(image.id, after)
        return Repaired(title, frozenset([image.id]))

    def _turn_image(self, user: str, image: ImageRow, grid: Grid, turn: Turn, title: str) -> Repaired:
        with self._store.acts.doing(NewAct("turn", title, user)):
            now = turn_image(self._store, image, grid, turn)
        return Repaired(title, frozenset([image.id, now]), {image.id: now})

    def _turned_images(self, act: ActRow, *, back: bool) -> set[int]:
        """From the one image to the other. Raises ValueError where one that would go was labelled since."""
        for goes, comes in _became(act, back=back).items():
            if self._store.labels(goes) or self._store.tags.of([goes]):
                raise ValueError("a turned image was labelled since; set its sides anew instead")
            self._store.bin.put([goes], act.id)
            self._store.bin.take_out([comes])
            pass_on(self._store, goes, comes)
        return {image for pair in _became(act, back=back).items() for image in pair}

    def _once(self, key: str, work: Callable[[], Repaired]) -> Repaired:
        with self._folds.lock, self._store.together():
            if key and (kept := self._store.answers.of(key)):
                return Repaired(kept["message"])
            try:
                done = work()
            except BaseException:
                self._folds.forget_all()  # they may have looked at what is not written now
                raise
            if key:
                self._store.answers.keep(key, {"message": done.message})
        for image_id in done.images:
            self._folds.forget(image_id)
        return done

    def _turn(self, user: str, act_id: int, *, back: bool) -> Repaired:
        act = self._store.acts.get(act_id)
        if self._store.bin.emptied(act_id):
            raise LookupError("what that step deleted is gone for good")
        if other := self._store.acts.replaced_by(act_id) if back else self._store.acts.waits_for(act_id):
            raise ValueError(f"“{other}” belongs to the same labels; {'undo' if back else 'do'} that first")
        images = self._store.acts.images(act_id)
        (self._store.acts.take_back if back else self._store.acts.bring_again)(act_id, user)
        images |= self._turned(act, back=back)
        self._settle(frozenset(images))
        stay = len(self._store.bin.imported_by(act_id)) if back else 0
        kept = (
            f"; {count_of(stay, 'image')} labelled since {'stays' if stay == 1 else 'stay'}" if stay else ""
        )
        title = f"{'Undid' if back else 'Did again'}: {act.title}{kept}"
        unfilled = frozenset(images) if act.kind == "frames" else frozenset[int]()
        return Repaired(title, frozenset(images), _became(act, back=back), unfilled)

    def _turned(self, act: ActRow, *, back: bool) -> set[int]:
        """What an act did beside label events; the images that this is about."""
        store, facts = self._store, act.facts
        if act.kind in ("merge-class", "delete-class"):
            self._turn_class(facts, back=back)
        if act.kind == "rename-image":
            store.rename_image(facts["image"], facts["before" if back else "after"])
        if act.kind == "header":
            self._turn_header(facts["image"], facts["before" if back else "after"])
        if act.kind == "frames":
            return say_frames(store, facts["images"], facts["frames"] != back)
        if act.kind == "turn":
            return self._turned_images(act, back=back)
        if act.kind in ("rename-image", "header"):
            return {facts["image"]}
        if act.kind == "delete-images" and back:
            return self._out_of_bin(act.id)
        if act.kind == "delete-images":
            again = {i: "" for i in facts["images"] if store.images_of([i])}
            store.acts.revoke_images(again, act.author, act.id)
            store.bin.put(again, act.id)
            return set(again)
        return self._turn_import(act, back=back)

    def _turn_header(self, image_id: int, header: dict[str, Any]) -> None:
        """Whether it is a film is said by an act of its own."""
        film = shows_moments(self._store.sources.header(image_id)["geometry"])
        self._store.sources.replace_header(
            image_id, {**header, "geometry": as_moments(header["geometry"], film)}
        )

    def _turn_class(self, facts: dict[str, Any], *, back: bool) -> None:
        rows = self._store.class_rows
        if not back:
            rows.remove(facts["removed"])
        elif rows.made(facts["removed"]) == facts["made"]:
            rows.bring_back({facts["removed"]})
        else:
            raise ValueError("the number of that class is another class by now, so it cannot come back")

    def _turn_import(self, act: ActRow, *, back: bool) -> set[int]:
        """Its labels are turned already. Images on which people worked since stay; classes that it brought go where
        nothing carries them."""
        headers = act.facts.get("headers", {})
        for image_id, header in headers.items():
            self._store.sources.replace_header(int(image_id), header["before" if back else "after"])
        self._turn_numbered(act.facts.get("numbered", []), back=back)
        self._turn_coded(act.facts.get("coded", []), back=back)
        images = {int(image_id) for image_id in headers} | self._turned_images(act, back=back)
        if not back:
            return images | self._out_of_bin(act.id, but=_became(act, back=False).keys())
        brought = self._store.bin.imported_by(act.id)
        unlabelled = {i for i in brought if not self._store.slice_states(i) and not self._store.tags.of([i])}
        self._store.bin.put(unlabelled, act.id)
        for class_id in act.facts.get("classes", []):
            with contextlib.suppress(ValueError, LookupError):  # something carries it, or it is gone already
                self._store.remove_class(class_id)
        return images | brought

    def _turn_numbered(self, changed: Sequence[Sequence[int]], *, back: bool) -> None:
        """Areas that an import made classes of objects, where they are still the same classes."""
        rows = self._store.class_rows
        for row in rows.all():
            if [row.id, row.made] in changed:
                rows.set_objects(row.id, not back)

    def _turn_coded(self, changed: Sequence[tuple[int, int, str]], *, back: bool) -> None:
        """Codes that an import brought, where nobody wrote another one since."""
        rows = {row.id: row for row in self._store.class_rows.all()}
        for class_id, made, code in changed:
            row = rows.get(class_id)
            if row is not None and row.made == made and str(row.code or "") == (code if back else ""):
                self._store.class_rows.set_code(class_id, "" if back else code)

    def _out_of_bin(self, act_id: int, but: Collection[int] = ()) -> set[int]:
        images = self._store.bin.thrown_by(act_id) - {*but}
        self._store.bin.take_out(images)
        return images

    def _settle(self, images: frozenset[int]) -> None:
        """Events came back to life: each has its class, which may have been removed meanwhile."""
        store = self._store
        store.class_rows.check_meanings()
        gone = store.class_rows.removed().keys()
        for image_id in images if gone else ():
            if not store.images_of([image_id]):
                continue
            named = {c for label in store.labels(image_id) for c in label.classes} & gone
            if named:
                self._folds.forget(image_id)
                classes = self._folds.get(image_id).classes
                store.class_rows.bring_back({c for c in named if (classes == c).any()})


def _became(act: ActRow, *, back: bool) -> dict[int, int]:
    """Of the images that an act turned: which one stands for which after this undo or redo."""
    turned = {int(before): int(now) for before, now in act.facts.get("turned", {}).items()}
    return {now: before for before, now in turned.items()} if back else turned
