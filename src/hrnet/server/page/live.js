// The webcam, over a WebSocket. A frame is sent when fewer than two are on their way, and dropped
// otherwise, so that nothing queues up where the service is slower than the camera.

import { Refusal, liveAddress, token } from "./service.js";
import { text } from "./texts.js";

const ON_THEIR_WAY = 2;
const LONGEST = 960; // pixels of a frame's longer side
const QUALITY = 0.85; // of its JPEG
const REMEMBERED = 20; // answers that the rate is of

export class Live {
  /**
   * `answered(bitmap, answer, rate)` gets each frame with its answer and the frames a second,
   * `failed(sentence)` what is wrong with one; `ended(sentence)` is called once if it ends by
   * itself.
   */
  constructor({ answered, failed, ended }) {
    this.answered = answered;
    this.failed = failed;
    this.ended = ended;
    this.frames = new Map(); // that are on their way, by number
    this.sent = 0;
    this.times = [];
    this.stopped = false;
  }

  /** Begin. Throws a Refusal where there is no camera. */
  async start({ model, detector }) {
    if (!navigator.mediaDevices) throw new Refusal(text.noWebcam(text.webcamInsecure));
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 1280 }, height: { ideal: 720 } },
      });
    } catch (error) {
      throw new Refusal(text.noWebcam(error.message));
    }
    if (this.stopped) return this.release();
    this.stream.getVideoTracks()[0].addEventListener("ended", () => this.end(text.liveEnded));
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = true;
    this.video.srcObject = this.stream;
    await this.video.play();
    if (this.stopped) return;
    this.socket = new WebSocket(liveAddress());
    this.socket.addEventListener("open", () => {
      const sent = token() ?? undefined;
      this.socket.send(JSON.stringify({ model, detector, smooth: true, token: sent }));
    });
    this.socket.addEventListener("message", (event) => this.receive(JSON.parse(event.data)));
    this.socket.addEventListener("close", () => this.end(text.liveEnded));
  }

  stop() {
    this.stopped = true;
    this.release();
  }

  release() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.socket?.close();
    for (const bitmap of this.frames.values()) bitmap.close();
    this.frames.clear();
  }

  end(sentence) {
    if (this.stopped) return;
    this.stop();
    this.ended(sentence);
  }

  receive(message) {
    if (this.stopped) return;
    if (message.ready) return void this.watch(-1);
    if (message.error && message.frame === undefined) return this.end(message.error);
    const bitmap = this.frames.get(message.frame);
    for (const [number, older] of this.frames) {
      if (number < message.frame) older.close(); // the service dropped it
      if (number <= message.frame) this.frames.delete(number);
    }
    if (message.error) {
      bitmap.close();
      return this.failed(message.error);
    }
    this.times = [...this.times, performance.now()].slice(-REMEMBERED);
    const seconds = (this.times.at(-1) - this.times[0]) / 1000;
    this.answered(bitmap, message, seconds > 0 ? (this.times.length - 1) / seconds : 0);
  }

  // Look for a new frame whenever the screen is drawn; not at all while the page is hidden.
  watch(last) {
    requestAnimationFrame(async () => {
      if (this.stopped) return;
      const now = this.video.currentTime;
      if (now !== last && this.frames.size < ON_THEIR_WAY) await this.send();
      this.watch(now);
    });
  }

  async send() {
    const { videoWidth: width, videoHeight: height } = this.video;
    const scale = Math.min(LONGEST / Math.max(width, height), 1);
    const canvas = new OffscreenCanvas(Math.round(scale * width), Math.round(scale * height));
    canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    if (this.stopped || this.socket.readyState !== WebSocket.OPEN) return;
    this.frames.set(this.sent++, canvas.transferToImageBitmap());
    this.socket.send(blob);
  }
}
