/** Keys of scenes, for the table of shortcuts. */

const ASIDE = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown"];

export const SCENE_KEYS = {
  title: "Scenes",
  keys: [
    {
      keys: "Shift+M",
      codes: ["Shift+m"],
      text: "Show the map of the scene",
      run: ({ actions }) => actions.sceneMap(),
    },
    {
      keys: "Alt+Arrow keys  Alt+PgUp  Alt+PgDn",
      codes: ASIDE.map((key) => `Alt+${key}`),
      text: "Open the region beside this one",
      run: ({ actions, event }) => actions.neighbour(event),
    },
  ],
};
