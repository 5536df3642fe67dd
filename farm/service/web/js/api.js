/** Asks the farm. A token, if the farm wants one, stays in this tab's session storage. */

import { askToken } from "./token.js";

const KEY = "farm-token";

/** An answer of the farm that says no. field: the one that is wrong, if it is one. */
export class Refused extends Error {
  constructor(status, fault) {
    super(fault.message);
    this.status = status;
    this.field = fault.field ?? "";
  }
}

export const hasToken = () => sessionStorage.getItem(KEY) !== null;

/** Return the response to a request. Asks for a token when the farm does. Raises Refused. */
export async function request(path, { headers = {}, ...options } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const authorized = token ? { ...headers, authorization: `Bearer ${token}` } : headers;
    const response = await reach(path, { ...options, headers: authorized });
    if (response.status !== 401) return checked(response);
    if (token === sessionStorage.getItem(KEY)) sessionStorage.setItem(KEY, await askToken(token !== null));
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, { credentials: "omit", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "The farm does not answer. Is farm serve still running?" });
  }
}

async function checked(response) {
  if (response.ok || response.status === 308) return response;
  let fault = { message: `the farm answered with status ${response.status}` };
  try {
    fault = (await response.json()).error ?? fault;
  } catch {
    // not from the farm: a proxy in between
  }
  throw new Refused(response.status, fault);
}

export const get = async (path, options) => (await request(path, options)).json();

/** Send a body as JSON, and return the answer. */
export async function send(method, path, body, options = {}) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const response = await request(path, { method, body: body && JSON.stringify(body), headers, ...options });
  return response.status === 204 ? null : response.json();
}

export const jobPath = (id, rest = "") => `/api/jobs/${encodeURIComponent(id)}${rest}`;
export const picturePath = (id, number, of, side) => jobPath(id, `/units/${number}/picture?of=${of}&side=${side}`);

/** unit: the number of the one that wrote the file, so that it is found at once; null for a file of a run. */
export const resultPath = (id, path, unit) => jobPath(id, `/result?path=${encodeURIComponent(path)}${unit === null ? "" : `&unit=${unit}`}`);

/** Save a file of the farm on this computer. */
export async function download(path, name) {
  const link = document.createElement("a");
  link.download = name;
  link.href = hasToken() ? URL.createObjectURL(await (await request(path)).blob()) : path;
  document.body.append(link);
  link.click();
  link.remove();
  if (link.href.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
