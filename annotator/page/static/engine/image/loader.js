// Fetching pixels and labels: patient with a server that restarts, clear about a refusal.

import { address } from "../../net/root.js";

const WAITS_MS = [300, 700, 1500, 3000, 6000];

/**
 * GET that waits out a lost connection (until `signal`); throws an Error with the server's sentence
 * on a refusal.
 */
export async function get(url, signal) {
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await fetch(address(url), { signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      await pause(WAITS_MS[Math.min(attempt, WAITS_MS.length - 1)], signal);
      continue;
    }
    if (response.ok) return response;
    throw new Error(await refusal(response));
  }
}

export async function getJson(url, signal) {
  return (await get(url, signal)).json();
}

async function refusal(response) {
  try {
    return (await response.json()).error ?? `the server answered ${response.status}`;
  } catch {
    return `the server answered ${response.status}; reload the page or ask who runs it`;
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(new DOMException("no longer wanted", "AbortError"));
      },
      { once: true },
    );
  });
}

/** [z0, z1) slabs of `thickness` slices, the one around `middle` first, then outwards. */
export function slabsOutwards(depth, thickness, middle) {
  const slabs = [];
  for (let z0 = 0; z0 < depth; z0 += thickness) slabs.push([z0, Math.min(depth, z0 + thickness)]);
  const distance = ([z0, z1]) => Math.abs((z0 + z1 - 1) / 2 - middle);
  return slabs.sort((a, b) => distance(a) - distance(b));
}

/** Run `work(item)` over all items, `width` at a time; the first failure stops it. */
export async function inParallel(items, width, work) {
  const queue = items.slice();
  const runner = async () => {
    while (queue.length) await work(queue.shift());
  };
  await Promise.all(Array.from({ length: width }, runner));
}
