// The picture that is shown, with the skeletons over it: fitted to the room, pointed at, and walked
// through by keys.

import { drawPeople, place, sureness } from "./drawing.js";

const LARGEST = 3; // times that a small picture is enlarged
const HEIGHT = 0.74; // of the window's, at most
const NEAR = 16; // CSS pixels between a pointer and the joint that it points at

const room = document.getElementById("room");
const frame = document.getElementById("frame");
const image = document.getElementById("picture");
const canvas = document.getElementById("drawing");
const tip = document.getElementById("tip");
const context = canvas.getContext("2d");

export class Viewer {
  /** `select(person, joint, byKey)` is called with what is pointed at or gone to. */
  constructor(select) {
    this.select = select;
    this.view = null;
    new ResizeObserver(() => this.draw()).observe(room);
    addEventListener("resize", () => this.draw()); // its height, and the screen's density
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerdown", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => {
      if (document.activeElement !== canvas) this.letGo();
    });
    canvas.addEventListener("keydown", (event) => this.press(event));
  }

  /**
   * Show { width, height, url, bitmap, answer, threshold, selection, tipText }: the size in pixels;
   * a picture's address, or a frame's pixels, or neither; and the answer, or null.
   */
  show(view) {
    this.view = view;
    if (view.url) {
      if (image.getAttribute("src") !== view.url) image.src = view.url;
    } else image.removeAttribute("src");
    image.hidden = !view.url;
    this.draw();
  }

  draw() {
    const { view } = this;
    if (view === null) return;
    const fitting = Math.min(
      room.clientWidth / view.width,
      (HEIGHT * innerHeight) / view.height,
      LARGEST,
    );
    const width = Math.max(Math.round(view.width * fitting), 1);
    const height = Math.max(Math.round(view.height * fitting), 1);
    this.scale = width / view.width;
    frame.style.width = `${width}px`;
    frame.style.height = `${height}px`;
    const density = devicePixelRatio;
    canvas.width = Math.round(width * density); // this empties it
    canvas.height = Math.round(height * density);
    context.scale(density, density);
    if (view.bitmap) context.drawImage(view.bitmap, 0, 0, width, height);
    if (view.answer) drawPeople(context, view.answer, { scale: this.scale, ...view });
    this.placeTip(width);
  }

  placeTip(width) {
    const { answer, selection, tipText } = this.view;
    tip.hidden = !answer || selection.joint === null;
    if (tip.hidden) return;
    const [x, y] = place(answer.people[selection.person], selection.joint, this.scale);
    tip.textContent = tipText;
    const half = tip.offsetWidth / 2;
    tip.style.left = `${Math.min(Math.max(x, half), width - half)}px`;
    tip.style.top = `${y}px`;
    tip.classList.toggle("below", y < 60);
  }

  /** Joints of a person that are drawn. */
  drawn(person) {
    const { answer, threshold } = this.view;
    const joints = [...answer.skeleton.keypoints.keys()];
    return joints.filter((joint) => sureness(answer.people[person], joint) >= threshold);
  }

  letGo() {
    if (this.view?.answer) this.select(this.view.selection.person, null, false);
  }

  point(event) {
    if (!this.view?.answer) return;
    let nearest = null;
    let least = NEAR;
    this.view.answer.people.forEach((person, number) => {
      for (const joint of this.drawn(number)) {
        const [x, y] = place(person, joint, this.scale);
        const distance = Math.hypot(x - event.offsetX, y - event.offsetY);
        if (distance < least) [least, nearest] = [distance, { person: number, joint }];
      }
    });
    if (nearest) this.select(nearest.person, nearest.joint, false);
    else this.letGo();
  }

  press(event) {
    const people = this.view?.answer?.people.length ?? 0;
    if (people === 0) return;
    const { person, joint } = this.view.selection;
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "Escape") return this.letGo();
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [toPerson, toJoint] = joint === null ? [0, 0] : steps[event.key];
    const next = (person + toPerson + people) % people;
    const joints = this.drawn(next);
    if (joints.length === 0) return this.select(next, null, true);
    const here = joints.indexOf(joint); // not there if another person has it
    const there = here < 0 ? 0 : (here + toJoint + joints.length) % joints.length;
    this.select(next, joints[there], true);
  }
}
