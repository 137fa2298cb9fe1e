// Acts on whole objects: the server does them on every slice that they lie on, each undone as one.

export const ACTS = {
  merge: "merged",
  split: "split",
  holes: "filled",
  delete: "deleted",
  class: "reclassed",
  number: "numbered",
};

export class ObjectActs {
  constructor({ state, settings, planes, link, notices, clock, editor }) {
    Object.assign(this, { state, settings, planes, link, notices, clock, editor });
  }

  /** `at`: a voxel [z, y, x] of each object; `line`: [row, col, row, col]. Whether it was said. */
  change(what, { at = [], line = null, value = null, classes = [] }) {
    const locked = classes.map((id) => this.settings.classes.get(id)).find((one) => one?.locked);
    if (locked) {
      this.notices.say("info", `The class “${locked.name}” is locked; unlock it in the Label tab.`);
      return false;
    }
    const { ref } = this.planes.active;
    const { image, rev } = this.state;
    const id = this.link.newId();
    const said = { t: "objects", id, do: what, at, line, value };
    this.editor.send(ref, { ...said, base_rev: rev, seconds: this.clock.seconds });
    this.editor.did({ id, ...ref, image: image.id, name: image.name, act: ACTS[what] });
    return true;
  }
}
