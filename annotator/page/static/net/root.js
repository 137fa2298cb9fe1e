/**
 * Where the server's paths begin: "" at the root of a host, "/label" behind a proxy that puts the app
 * there. A script knows it by its own address.
 */

const ROOT = new URL("../..", import.meta.url).pathname.slice(0, -1);

/** An address of the server: "/api/project" is "/label/api/project" there. */
export const address = (path) => ROOT + path;
