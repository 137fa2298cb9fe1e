/**
 * What the plot of the learners draws: points, the lines through those that may be compared, and
 * marks between them.
 */

export const MEAN_OF = 5; // corrections that a point of the line stands for

/** What a learner's line shows: {title, look, points, lines}. */
export function seriesOf({ title, history }, { measure, along }) {
  const rows = measure === "held" ? history.rounds : history.corrections;
  const points = rows
    .filter((row) => typeof row.dice === "number" && typeof row[along] === "number")
    .map((row) => ({
      x: row[along],
      y: row.dice,
      slices: row.slices,
      minutes: row.minutes,
      core: row.core ?? null,
      judgedBy: row.judged_by ?? null,
    }));
  const lines = measure === "held" ? byCore(points) : [smoothed(points)];
  return { title, look: 0, points, lines };
}

/** Points that the same held-out labels judged: what other labels say is not to be compared. */
function byCore(points) {
  const lines = [];
  for (const point of points) {
    if (!lines.length || lines.at(-1)[0].core !== point.core) lines.push([]);
    lines.at(-1).push(point);
  }
  return lines;
}

/** Where other held-out labels judge from then on: {x, about}. */
export function marksOf(series) {
  const firsts = new Map();
  for (const { x, core, judgedBy } of series.flatMap(({ lines }) => lines.map((line) => line[0])))
    if (core !== null && !(firsts.get(core)?.x <= x)) firsts.set(core, { x, judgedBy });
  return [...firsts.values()]
    .sort((a, b) => a.x - b.x)
    .slice(1)
    .map(({ x, judgedBy }) => ({ x, about: `From here on ${judgedBy ?? "other"} slices judge` }));
}

/** The mean of each point and the four before it. */
function smoothed(points) {
  return points.map(({ x }, at) => {
    const last = points.slice(Math.max(0, at - MEAN_OF + 1), at + 1);
    return { x, y: last.reduce((sum, { y }) => sum + y, 0) / last.length };
  });
}
