/**
 * Plain HTTP to our server. Every refusal becomes an Error whose message is one sentence for the
 * person.
 */

import { address } from "./root.js";

/** GET or POST of JSON; `body` makes it a POST. */
export async function call(path, body, options = {}) {
  const response = await ask(path, {
    method: body === undefined ? "GET" : "POST",
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    ...options,
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw refusal(response.status, answer.error);
  return answer;
}

/** Send one file and report bytes as they leave; answers when the server has all of it. */
export function put(path, file, { signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", address(path));
    request.upload.onprogress = (event) => onProgress(event.loaded);
    request.onload = () =>
      request.status < 300
        ? resolve()
        : reject(refusal(request.status, errorIn(request.responseText)));
    request.onerror = () =>
      reject(new Error("The server cannot be reached; check that it is running and try again."));
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}

async function ask(path, options) {
  try {
    return await fetch(address(path), { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached; check that it is running and try again.", {
      cause: error,
    });
  }
}

function refusal(status, sentence) {
  const usual = {
    401: "You are signed out; sign in again in another tab, then try once more.",
    413: "That is larger than the server accepts; send less at once.",
    429: "Too many requests at once; wait a moment and try again.",
  };
  const error = new Error(
    sentence || usual[status] || `The server refused (status ${status}); see its log.`,
  );
  error.status = status;
  return error;
}

function errorIn(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return "";
  }
}
