"""How channels are shown in this project: what a person chose last for each name, else what the image says."""

import json
from dataclasses import asdict

from storage.channels.named import ChannelLook
from storage.rows import ImageRow
from storage.store import Store

SETTING = "channel-looks"


def kept_looks(store: Store, image: ImageRow) -> tuple[ChannelLook, ...]:
    """Of each channel of the image, in their order."""
    if not image.named:
        return ()
    kept = _kept(store)
    return tuple(kept.get(channel.name, channel.look) for channel in image.named)


def keep_look(store: Store, name: str, look: ChannelLook) -> None:
    """From now on channels of this name are shown so, in all images."""
    told = {**_kept(store), name: look}
    store.set_setting(SETTING, json.dumps({key: asdict(one) for key, one in told.items()}))


def _kept(store: Store) -> dict[str, ChannelLook]:
    said = json.loads(store.setting(SETTING) or "{}")
    return {
        name: ChannelLook(look["color"], (look["window"][0], look["window"][1]), look["gamma"], look["shown"])
        for name, look in said.items()
    }
