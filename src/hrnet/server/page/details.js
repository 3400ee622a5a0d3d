// What was found, in words and numbers: the people to choose from, and the joints of one.

import { colourNumber, personColours, sidesOf, sureness } from "./drawing.js";
import { jointName, text } from "./texts.js";

const people = document.getElementById("people");
const choice = document.getElementById("people-choice");
const table = document.getElementById("joints");
const body = table.tBodies[0];
const legend = document.getElementById("legend");

/** A probability in words, or a score. */
export function sureInWords(person, joint) {
  return person.probability
    ? text.sureProbability(percent(person.probability[joint]))
    : text.sureScore(person.keypoints[joint][2].toFixed(2));
}

/** A probability in short, or a score. */
export function sureInShort(person, joint) {
  return person.probability
    ? `${percent(person.probability[joint])} %`
    : person.keypoints[joint][2].toFixed(2);
}

function percent(probability) {
  return Math.round(100 * probability);
}

/**
 * Show an answer's people and the joints of the selected one, or without an answer nothing.
 * `select(person, joint)` is called with what is chosen.
 */
export function showDetails(answer, { threshold, selection, ofPeople, select }) {
  const found = answer?.people ?? [];
  people.hidden = table.hidden = legend.hidden = found.length === 0;
  if (found.length === 0) return;
  document.getElementById("people-title").textContent = (ofPeople ? text.people : text.things)(
    found.length,
  );
  const nameOf = ofPeople ? text.person : text.thing;
  showChoice(found, selection.person, nameOf, select);
  const person = found[selection.person];
  document.getElementById("joints-title").textContent = nameOf(selection.person + 1);
  document.getElementById("sure").textContent = person.probability ? text.probability : text.score;
  showJoints(answer.skeleton, person, threshold, selection, select);
  const colours = personColours(colourNumber(found, selection.person));
  for (const side of ["left", "right"]) legend.style.setProperty(`--${side}`, colours[side]);
  legend.hidden = !sidesOf(answer.skeleton).includes("left");
  document.getElementById("legend-ring").hidden = !person.probability;
}

function showChoice(found, selected, nameOf, select) {
  while (choice.children.length > found.length) choice.lastChild.remove();
  while (choice.children.length < found.length) {
    const number = choice.children.length;
    const label = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "person" });
    radio.addEventListener("change", () => choice.select(number, null));
    label.append(radio, document.createElement("span"));
    choice.append(label);
  }
  choice.select = select;
  [...choice.children].forEach((label, number) => {
    const [radio, shown] = label.children;
    radio.checked = number === selected;
    radio.setAttribute("aria-label", nameOf(number + 1));
    shown.textContent = number + 1;
    label.style.setProperty("--person", personColours(colourNumber(found, number)).middle);
  });
}

function showJoints(skeleton, person, threshold, selection, select) {
  while (body.rows.length > skeleton.keypoints.length) body.deleteRow(-1);
  while (body.rows.length < skeleton.keypoints.length) {
    const row = body.insertRow();
    const joint = row.sectionRowIndex;
    const head = document.createElement("th");
    head.scope = "row";
    row.append(head);
    for (let i = 0; i < 3; i++) row.insertCell();
    row.addEventListener("pointerenter", () => body.select(joint));
    row.addEventListener("pointerleave", () => body.select(null));
  }
  body.select = (joint) => select(selection.person, joint);
  skeleton.keypoints.forEach((name, joint) => {
    const row = body.rows[joint];
    const [x, y] = person.keypoints[joint];
    const cells = [jointName(name), sureInShort(person, joint), x.toFixed(1), y.toFixed(1)];
    cells.forEach((content, i) => (row.cells[i].textContent = content));
    row.className = sureness(person, joint) < threshold ? "left-out" : "";
    row.classList.toggle("selected", joint === selection.joint);
  });
}
