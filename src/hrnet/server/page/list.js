// The pictures given: a row each, with a thumbnail, the name and what became of it. The tab key
// stops at the chosen one; arrow keys choose the next and the one before.

const SIDE = 96; // of a thumbnail, in pixels

export class List {
  /** `choose(picture)` is called with the one that is chosen. */
  constructor(choose) {
    this.element = document.getElementById("pictures");
    this.rows = new Map(); // by picture
    this.choose = choose;
    this.element.addEventListener("keydown", (event) => this.press(event));
  }

  add(picture) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const thumbnail = document.createElement("canvas");
    thumbnail.width = thumbnail.height = SIDE;
    const [name, state] = ["name", "state"].map((className) =>
      Object.assign(document.createElement("span"), { className }),
    );
    name.textContent = picture.name;
    button.tabIndex = -1;
    button.append(thumbnail, name, state);
    button.addEventListener("click", () => this.choose(picture));
    item.append(button);
    this.element.append(item);
    this.rows.set(picture, { button, thumbnail, state });
  }

  clear() {
    this.element.replaceChildren();
    this.rows.clear();
  }

  /** Say what became of a picture; an error is a sentence of the service's. */
  update(picture, sentence) {
    const { state } = this.rows.get(picture);
    state.textContent = sentence;
    state.className = `state ${picture.state}`;
    state.lang = picture.state === "error" ? "en" : "";
  }

  /** Mark the one that is shown. */
  mark(shown) {
    for (const [picture, { button }] of this.rows) {
      button.tabIndex = picture === shown ? 0 : -1;
      button.setAttribute("aria-current", picture === shown);
    }
  }

  /** Draw the middle of a picture. Throws where the browser cannot decode it. */
  async drawThumbnail(picture) {
    const { width, height } = picture.size;
    const scale = SIDE / Math.min(width, height);
    const [resizeWidth, resizeHeight] = [width, height].map((side) => Math.ceil(scale * side));
    const small = { resizeWidth, resizeHeight, resizeQuality: "medium" };
    const bitmap = await createImageBitmap(picture.file, small);
    const [left, top] = [bitmap.width, bitmap.height].map((side) => (SIDE - side) / 2);
    this.rows.get(picture)?.thumbnail.getContext("2d").drawImage(bitmap, left, top);
    bitmap.close();
  }

  press(event) {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const item = document.activeElement.closest("li");
    const next = step > 0 ? item.nextElementSibling : item.previousElementSibling;
    next?.firstElementChild.click();
    next?.firstElementChild.focus();
  }
}
