// Answers and pictures as files.

import { drawPeople } from "./drawing.js";

/** JSON of one answer, as hrnet predict writes it, or of a list of them. */
export function saveJson(name, answers) {
  save(name, new Blob([JSON.stringify(answers)], { type: "application/json" }));
}

/** CSV with a row a person, as hrnet predict --save csv writes it. */
export function saveCsv(name, answers) {
  save(name, new Blob([csv(answers)], { type: "text/csv" }));
}

/** The picture at its own size with what is drawn on it; false where the browser cannot. */
export async function savePng(name, file, answer, threshold) {
  const { width, height } = answer.image;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  if (context === null) return false;
  const bitmap = await createImageBitmap(file);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  drawPeople(context, answer, { scale: 1, threshold });
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  if (blob === null) return false; // larger than its canvases may be
  save(name, blob);
  return true;
}

/** A file's name with another ending. */
export function renamed(name, ending) {
  return name.replace(/^.*\//, "").replace(/\.[^.]*$/, "") + ending;
}

function csv(answers) {
  const { keypoints } = answers[0].skeleton;
  const columns = ["path", "pixels", "person", "score", "x1", "y1", "x2", "y2", "box_score"];
  for (const name of keypoints) columns.push(`${name}_x`, `${name}_y`, `${name}_score`);
  const calibrated = answers.some(({ people }) => people.some((person) => person.probability));
  if (calibrated) columns.push(...keypoints.map((name) => `${name}_probability`));
  const rows = [columns];
  for (const { image, people } of answers) {
    people.forEach((person, number) => {
      const about = [image.path, image.pixels, number, person.score];
      const found = [...person.box, person.box_score, ...person.keypoints.flat()];
      rows.push([...about, ...found, ...(person.probability ?? [])]);
    });
  }
  return rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
}

function quoted(value) {
  const written = String(value);
  return /[",\r\n]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser may still be reading
}
