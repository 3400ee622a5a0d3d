// Talks to the service that the page comes from.

import { text } from "./texts.js";

const TOKEN = "hrnet-token";

/** An error with a sentence to show. */
export class Refusal extends Error {}

let tokenAsked = null; // a promise, while the dialog is open

export function token() {
  return sessionStorage.getItem(TOKEN);
}

/** The service's models, the default one first. */
export async function listModels() {
  const response = await ask("models", {});
  return (await response.json()).models;
}

/**
 * The service's answer on one encoded picture. While the service is busy, asks again when it says,
 * and tells `wait` the seconds until then.
 */
export async function predict(file, { name, model, detector, signal, wait }) {
  const query = new URLSearchParams({ detector, name });
  if (model) query.set("model", model);
  for (;;) {
    const response = await ask(`predict?${query}`, { method: "POST", body: file, signal });
    if (response.status !== 503) return await response.json();
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    wait(seconds);
    await pause(seconds * 1000, signal);
  }
}

/** Where frames go. */
export function liveAddress() {
  const address = new URL("live", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  return address;
}

// A response that is well, or 503. A missing or wrong token is asked for, and the request repeated.
async function ask(path, options) {
  for (;;) {
    const sent = token();
    const headers = sent ? { Authorization: `Bearer ${sent}` } : {};
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Refusal(text.noServer);
    }
    if (response.ok || response.status === 503) return response;
    const sentence = await errorOf(response);
    if (response.status !== 401) throw new Refusal(sentence);
    if (sent === token()) await (tokenAsked ??= askToken(sentence)); // else it is newer by now
    options.signal?.throwIfAborted();
  }
}

async function errorOf(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

function askToken(reason) {
  const dialog = document.getElementById("token-dialog");
  const field = document.getElementById("token");
  document.getElementById("token-reason").textContent = reason;
  field.value = dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    const closed = () => {
      tokenAsked = null;
      if (dialog.returnValue === "") return reject(new Refusal(reason)); // by Escape
      sessionStorage.setItem(TOKEN, field.value);
      resolve();
    };
    dialog.addEventListener("close", closed, { once: true });
  });
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
