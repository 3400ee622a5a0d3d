// The page: which pictures there are, which is shown, and what is asked of the service.

import { Viewer } from "./viewer.js";
import { Live } from "./live.js";
import { List } from "./list.js";
import { listen } from "./intake.js";
import { Refusal, listModels, predict } from "./service.js";
import { renamed, saveCsv, saveJson, savePng } from "./downloads.js";
import { showDetails, sureInShort, sureInWords } from "./details.js";
import { jointName, setLanguage, text, writeTexts } from "./texts.js";

const AT_ONCE = 2; // requests
const LONGEST_NAME = 255; // that the service takes

const element = (id) => document.getElementById(id);
const viewer = new Viewer(select);
const list = new List(show);

let models = [];
let pictures = []; // { file, name, url, size, state, answer, error, seconds }
let shown = null; // one of them
let live = null; // { connection, bitmap, answer, rate } while the webcam is on
let selection = { person: 0, joint: null };
let notice = () => ""; // a function, as the language may change
let asked = new AbortController(); // ends all requests
let running = 0;

// ---- Pictures and their answers

function add(files) {
  stopLive();
  setNotice();
  const added = files.map(({ file, name }) => ({
    file,
    name,
    url: URL.createObjectURL(file),
    size: undefined, // null where the browser cannot show it
    state: "waiting",
  }));
  pictures.push(...added);
  for (const picture of added) {
    list.add(picture);
    list.update(picture, stateOf(picture));
  }
  show(added[0]);
  announce(text.added(added.length));
  pump();
}

async function addSample() {
  const response = await fetch("page/sample.jpg");
  const file = new File([await response.blob()], "sample.jpg", { type: "image/jpeg" });
  add([{ file, name: file.name }]);
}

function pump() {
  while (running < AT_ONCE) {
    // The one that is looked at comes first.
    const waits = (picture) => picture.state === "waiting";
    const next = shown && waits(shown) ? shown : pictures.find(waits);
    if (!next) return;
    running += 1;
    lookAt(next, asked.signal).finally(() => {
      running -= 1;
      pump();
    });
  }
}

async function lookAt(picture, signal) {
  change(picture, { state: "asking" });
  await measure(picture);
  try {
    const answer = await predict(picture.file, {
      name: picture.name.slice(-LONGEST_NAME),
      model: element("model").value,
      detector: detector(),
      signal,
      wait: (seconds) => change(picture, { state: "busy", seconds }),
    });
    if (signal.aborted) return;
    change(picture, { state: "done", answer });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    change(picture, { state: "error", error: error.message });
  }
  if (picture === shown) announce(text.canvasLabel(picture.name, stateOf(picture)));
  if (pictures.length > 1 && pictures.every(isOver)) announce(text.allDone(pictures.length));
}

function isOver({ state }) {
  return state === "done" || state === "error";
}

// Its size and thumbnail, once; decoding is off the page's thread.
async function measure(picture) {
  if (picture.size !== undefined) return;
  const image = new Image();
  image.src = picture.url;
  try {
    await new Promise((onload, onerror) => Object.assign(image, { onload, onerror }));
    picture.size = { width: image.naturalWidth, height: image.naturalHeight };
    await list.drawThumbnail(picture);
  } catch {
    picture.size = null;
  }
  change(picture, {});
}

function change(picture, changes) {
  Object.assign(picture, changes);
  if (!pictures.includes(picture)) return; // cleared
  list.update(picture, stateOf(picture));
  showProgress();
  if (picture === shown) render();
}

/** Ask again for all pictures, as the question has changed. */
function askAll() {
  asked.abort();
  asked = new AbortController();
  for (const picture of pictures) change(picture, { state: "waiting", answer: undefined });
  selection = { person: 0, joint: null };
  render();
  pump();
}

function clear() {
  asked.abort();
  asked = new AbortController();
  stopLive();
  for (const { url } of pictures) URL.revokeObjectURL(url);
  pictures = [];
  shown = null;
  list.clear();
  setNotice();
  render();
  element("choose-files").focus();
  announce(text.cleared);
}

function detector() {
  return chosenModel()?.of_people === false ? "auto" : element("detector").value;
}

function chosenModel() {
  return models.find(({ name }) => name === element("model").value);
}

// ---- The webcam

async function startLive() {
  stopLive();
  setNotice();
  const connection = new Live({
    answered(bitmap, answer, rate) {
      keepSelection(answer);
      live.bitmap?.close();
      Object.assign(live, { bitmap, answer, rate });
      render();
    },
    failed(sentence) {
      setNotice(() => sentence);
    },
    ended(sentence) {
      live = null;
      setNotice(() => sentence);
      render();
    },
  });
  live = { connection, bitmap: null, answer: null, rate: 0 };
  selection = { person: 0, joint: null };
  render();
  element("stop").focus();
  try {
    await connection.start({ model: element("model").value || null, detector: detector() });
    if (live?.connection === connection) announce(text.liveStarted);
  } catch (error) {
    connection.stop();
    if (!(error instanceof Refusal)) throw error;
    live = null;
    setNotice(() => error.message);
    render();
  }
}

function stopLive() {
  if (live === null) return;
  live.connection.stop();
  live = null;
  selection = { person: 0, joint: null };
  announce(text.liveStopped);
  render();
}

// The selected person is the one of the same track.
function keepSelection(answer) {
  const track = live.answer?.people[selection.person]?.track_id;
  const person = answer.people.findIndex(({ track_id }) => track_id === track);
  selection = person < 0 ? { person: 0, joint: null } : { ...selection, person };
}

// ---- What is shown

function show(picture) {
  stopLive();
  shown = picture;
  selection = { person: 0, joint: null };
  list.mark(shown);
  render();
}

function select(person, joint, byKey = false) {
  if (person === selection.person && joint === selection.joint) return;
  selection = { person, joint };
  render();
  const answer = shownAnswer();
  const name = nameOf(answer)(person + 1);
  if (!byKey) return;
  if (joint === null) return announce(name);
  const words = sureInWords(answer.people[person], joint);
  announce(text.selected(jointName(answer.skeleton.keypoints[joint]), words, name));
}

function shownAnswer() {
  return (live ? live.answer : shown?.answer) ?? null;
}

function isOfPeople(answer) {
  return models.find(({ name }) => name === answer.model.name)?.of_people ?? true;
}

function nameOf(answer) {
  return isOfPeople(answer) ? text.person : text.thing;
}

function countOf(answer) {
  return (isOfPeople(answer) ? text.people : text.things)(answer.people.length);
}

function stateOf(picture) {
  if (picture.state === "done") return countOf(picture.answer);
  if (picture.state === "error") return picture.error;
  return picture.state === "busy" ? text.busy(picture.seconds) : text[picture.state];
}

// Whether the browser shows a picture, and upright, as the service reads it. All turn JPEGs; where
// they leave others as they are stored, the size tells, but not of a half turn or a mirroring.
function isShowable({ size, answer, file }) {
  if (!size || !answer) return size !== null;
  const { width, height, orientation } = answer.image;
  if (size.width !== width || size.height !== height) return false;
  return file.type === "image/jpeg" || orientation === 1 || orientation > 4;
}

function render() {
  document.body.classList.toggle("empty", pictures.length === 0 && live === null);
  const isLive = live !== null;
  const answer = shownAnswer();
  const threshold = Number(element("threshold").value);
  element("stage").hidden = !isLive && shown === null;
  element("shown-name").textContent = isLive ? text.livePicture : (shown?.name ?? "");
  const state = isLive ? liveState() : shown ? stateOf(shown) : "";
  const failed = !isLive && shown?.state === "error";
  element("shown-state").textContent = state;
  element("shown-state").lang = failed ? "en" : document.documentElement.lang;
  element("shown-state").classList.toggle("error", failed);
  element("again").hidden = !failed;
  element("stop").hidden = !isLive;
  element("unshowable").hidden = isLive || !shown || isShowable(shown) || failed;
  element("drawing").setAttribute(
    "aria-label",
    isLive ? text.livePicture : text.canvasLabel(shown?.name ?? "", state),
  );
  showStage(answer, threshold);
  showDetails(answer, { threshold, selection, ofPeople: answer && isOfPeople(answer), select });
  showThreshold(answer, threshold);
  showDownloads(answer);
  showProgress();
}

function liveState() {
  if (live.answer === null) return text.liveStarting;
  return text.liveState(live.rate.toFixed(live.rate < 10 ? 1 : 0), countOf(live.answer));
}

function showStage(answer, threshold) {
  const about = { answer, threshold, selection, tipText: tipText(answer) };
  const size = answer?.image ?? shown?.size;
  const isFrame = live !== null;
  element("frame").hidden = isFrame ? live.answer === null : !size;
  if (element("frame").hidden) return;
  const { width, height } = size;
  if (isFrame) viewer.show({ width, height, url: null, bitmap: live.bitmap, ...about });
  else viewer.show({ width, height, url: isShowable(shown) ? shown.url : null, ...about });
}

function tipText(answer) {
  const { person, joint } = selection;
  if (!answer || joint === null) return "";
  const name = jointName(answer.skeleton.keypoints[joint]);
  return `${name} ${sureInShort(answer.people[person], joint)}`;
}

function showThreshold(answer, threshold) {
  const byScore = answer?.people[0] && !answer.people[0].probability;
  element("threshold-label").textContent = byScore ? text.leastScore : text.leastProbability;
  const shownValue = byScore ? threshold.toFixed(2) : `${Math.round(100 * threshold)} %`;
  element("threshold-value").textContent = shownValue;
  element("threshold").setAttribute("aria-valuetext", shownValue);
}

function showDownloads(answer) {
  const done = answered();
  element("downloads").hidden = live !== null || done.length === 0;
  element("downloads-one").hidden = answer === null;
  element("downloads-all").hidden = pictures.length < 2;
  element("one-png").disabled = !shown || !isShowable(shown);
}

function showProgress() {
  element("list").hidden = pictures.length === 0;
  const over = pictures.filter(isOver).length;
  element("list-title").textContent = text.pictures(over, pictures.length);
}

function setNotice(sentence = () => "") {
  notice = sentence;
  element("notice").textContent = notice();
  element("notice").hidden = notice() === "";
}

function announce(sentence) {
  element("announcer").textContent = sentence;
}

function useLanguage() {
  writeTexts();
  for (const picture of pictures) list.update(picture, stateOf(picture));
  setNotice(notice);
  render();
}

// ---- Downloads

function answered() {
  return pictures.filter(({ answer }) => answer).map(({ answer }) => answer);
}

async function downloadPng() {
  const { name, file, answer } = shown;
  const threshold = Number(element("threshold").value);
  const isSaved = await savePng(renamed(name, ".png"), file, answer, threshold);
  if (!isSaved) setNotice(() => text.tooLargeToDraw);
}

// ---- Beginning

const onClick = (id, action) => element(id).addEventListener("click", action);
onClick("sample", addSample);
onClick("webcam", startLive);
onClick("stop", () => {
  stopLive();
  element("webcam").focus();
});
onClick("again", () => {
  setNotice();
  change(shown, { state: "waiting" });
  pump();
});
onClick("clear", clear);
onClick("one-json", () => saveJson(renamed(shown.name, ".json"), shown.answer));
onClick("one-csv", () => saveCsv(renamed(shown.name, ".csv"), [shown.answer]));
onClick("one-png", downloadPng);
onClick("all-json", () => saveJson("poses.json", answered()));
onClick("all-csv", () => saveCsv("poses.csv", answered()));
element("threshold").addEventListener("input", render);
element("detector").addEventListener("change", changeQuestion);
element("model").addEventListener("change", changeQuestion);
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    setLanguage(button.dataset.language);
    useLanguage();
  });
}

function changeQuestion() {
  element("detector-field").hidden = chosenModel()?.of_people === false;
  if (live) startLive();
  else askAll();
}

listen(add, (key) => setNotice(() => text[key]));
useLanguage();

try {
  models = await listModels();
  element("model").append(...models.map(({ name }) => new Option(name)));
  element("model-field").hidden = models.length < 2;
  element("detector-field").hidden = chosenModel().of_people === false;
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  setNotice(() => error.message);
}
