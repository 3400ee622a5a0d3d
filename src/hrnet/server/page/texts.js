// What the page says, in English and Chinese.

const ENGLISH = {
  title: "HRNet: people and their joints",
  subtitle: "People and their joints in pictures",
  dropHere: "Drop pictures or a folder here",
  orPaste: "Or paste a picture.",
  whatFor: "Every person is found, with where each joint is and how sure that is.",
  chooseFiles: "Pictures",
  chooseFolder: "Folder",
  useWebcam: "Webcam",
  useSample: "Sample picture",
  where: "Pictures go to the computer that this page comes from, and to no other.",
  model: "Model",
  detector: "People",
  detectorAuto: "find everyone",
  detectorWhole: "the picture is one person",
  clear: "Clear all",
  askAgain: "Ask again",
  stop: "Stop",
  keys:
    "Point at a joint, or go by arrow keys: left and right through the joints, up and down " +
    "through the people; Escape lets go.",
  unshowable:
    "This browser cannot show the picture, or not upright; the joints are drawn on an empty " +
    "ground, and all downloads but the annotated picture are there.",
  details: "What was found",
  joint: "Joint",
  probability: "Probability",
  score: "Score",
  leastProbability: "Draw joints at least this probable",
  leastScore: "Draw joints of at least this score",
  leftSide: "left of the person",
  rightSide: "right of the person",
  unlikely: "ring: less probable than not",
  download: "Download",
  thisPicture: "This picture",
  allPictures: "All pictures",
  tokenTitle: "This service asks for a token",
  tokenLabel: "Token",
  tokenKept: "It is kept until this tab is closed.",
  tokenSend: "Use it",
  waiting: "waiting",
  asking: "being looked at",
  busy: (seconds) => `the service is busy; asking again in ${seconds} s`,
  people: (count) => (count === 1 ? "1 person" : `${count === 0 ? "no" : count} people`),
  things: (count) => `${count === 0 ? "none" : count} found`,
  thing: (number) => `Number ${number}`,
  pictures: (done, all) =>
    done < all ? `${done} of ${all} pictures done` : all === 1 ? "1 picture" : `${all} pictures`,
  allDone: (count) => `All ${count} pictures are done.`,
  person: (number) => `Person ${number}`,
  selected: (joint, sure, person) => `${joint}, ${sure}, ${person}`,
  sureProbability: (percent) => `probability ${percent} %`,
  sureScore: (score) => `score ${score}`,
  canvasLabel: (name, people) => `${name}: ${people}`,
  livePicture: "Webcam",
  liveStarting: "starting",
  liveState: (rate, people) => `${rate} frames a second, ${people}`,
  liveStarted: "The webcam is on.",
  liveStopped: "The webcam is off.",
  liveEnded: "The service ended the connection; start the webcam again.",
  noWebcam: (reason) => `The webcam cannot be used: ${reason}`,
  webcamInsecure: "browsers give it only to pages from https:// or from localhost.",
  noServer: "The service does not answer; see that it runs, then ask again.",
  noPicturesInFolder: "There are no pictures in the folder.",
  noPictureToPaste: "There is no picture to paste.",
  tooLargeToDraw: "The picture is too large for this browser to draw at its own size.",
  cleared: "All pictures are gone from the page.",
  added: (count) => (count === 1 ? "1 picture added." : `${count} pictures added.`),
};

const CHINESE = {
  title: "HRNet：人与关节点",
  subtitle: "找出图片中的人和关节点",
  dropHere: "将图片或文件夹拖到这里",
  orPaste: "也可以粘贴图片。",
  whatFor: "图中的每个人都会被找到，并给出各关节点的位置和可信程度。",
  chooseFiles: "图片",
  chooseFolder: "文件夹",
  useWebcam: "摄像头",
  useSample: "示例图片",
  where: "图片只发送到提供此页面的计算机，不会发送到别处。",
  model: "模型",
  detector: "人物",
  detectorAuto: "找出所有人",
  detectorWhole: "整张图是一个人",
  clear: "全部清除",
  askAgain: "重新请求",
  stop: "停止",
  keys: "将指针移到关节点上，或用方向键：左右切换关节点，上下切换人物，Esc 取消选择。",
  unshowable: "浏览器无法显示这张图片，或无法将其转正；关节点画在空白背景上，除标注图片外均可下载。",
  details: "结果",
  joint: "关节点",
  probability: "概率",
  score: "得分",
  leastProbability: "只画概率不低于此值的关节点",
  leastScore: "只画得分不低于此值的关节点",
  leftSide: "人的左侧",
  rightSide: "人的右侧",
  unlikely: "空心：概率不足一半",
  download: "下载",
  thisPicture: "这张图片",
  allPictures: "全部图片",
  tokenTitle: "此服务需要令牌",
  tokenLabel: "令牌",
  tokenKept: "仅保留到此标签页关闭为止。",
  tokenSend: "使用",
  waiting: "等待中",
  asking: "正在识别",
  busy: (seconds) => `服务繁忙，${seconds} 秒后重试`,
  people: (count) => (count === 0 ? "没有人" : `${count} 人`),
  things: (count) => (count === 0 ? "没有找到" : `找到 ${count} 个`),
  thing: (number) => `第 ${number} 个`,
  pictures: (done, all) => (done < all ? `${all} 张图片，已完成 ${done} 张` : `${all} 张图片`),
  allDone: (count) => `${count} 张图片已全部完成。`,
  person: (number) => `第 ${number} 人`,
  selected: (joint, sure, person) => `${joint}，${sure}，${person}`,
  sureProbability: (percent) => `概率 ${percent} %`,
  sureScore: (score) => `得分 ${score}`,
  canvasLabel: (name, people) => `${name}：${people}`,
  livePicture: "摄像头",
  liveStarting: "正在启动",
  liveState: (rate, people) => `每秒 ${rate} 帧，${people}`,
  liveStarted: "摄像头已打开。",
  liveStopped: "摄像头已关闭。",
  liveEnded: "服务断开了连接，请重新打开摄像头。",
  noWebcam: (reason) => `无法使用摄像头：${reason}`,
  webcamInsecure: "浏览器只允许 https:// 或 localhost 的页面使用摄像头。",
  noServer: "服务没有应答；请确认它正在运行，然后重新请求。",
  noPicturesInFolder: "文件夹中没有图片。",
  noPictureToPaste: "剪贴板中没有图片。",
  tooLargeToDraw: "图片太大，浏览器无法按原尺寸绘制。",
  cleared: "页面上的图片已全部清除。",
  added: (count) => `已添加 ${count} 张图片。`,
};

// The joints of people, without their side; others keep their names.
const CHINESE_JOINTS = {
  nose: "鼻",
  eye: "眼",
  ear: "耳",
  shoulder: "肩",
  elbow: "肘",
  wrist: "腕",
  hip: "髋",
  knee: "膝",
  ankle: "踝",
  neck: "颈",
  upper_neck: "颈上端",
  head: "头",
  head_top: "头顶",
  head_bottom: "头底",
  chin: "下巴",
  pelvis: "骨盆",
  thorax: "胸",
  heel: "脚跟",
  big_toe: "大脚趾",
  small_toe: "小脚趾",
};

const REMEMBERED = "hrnet-language";

export let language = localStorage.getItem(REMEMBERED) ?? preferred();
export let text = texts();

function preferred() {
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

function texts() {
  return language === "zh" ? CHINESE : ENGLISH;
}

/** Change the language, and remember it. */
export function setLanguage(chosen) {
  language = chosen;
  text = texts();
  localStorage.setItem(REMEMBERED, chosen);
}

/** Write the texts of all elements that name one. */
export function writeTexts() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = text.title;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text[element.dataset.text];
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text[element.dataset.label]);
  }
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", button.dataset.language === language);
  }
}

/** A keypoint's name in words: left_wrist is "Left wrist". */
export function jointName(name) {
  const [, side, rest] = name.match(/^(left_|right_)?(.*)$/);
  if (language === "zh" && rest in CHINESE_JOINTS) {
    return ({ left_: "左", right_: "右" }[side] ?? "") + CHINESE_JOINTS[rest];
  }
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}
