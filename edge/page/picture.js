// The live picture: fetches the newest set, shows reference and fused of one instant in the same moment.

import { $, set } from "./dom.js";
import { capital, span } from "./format.js";

const VIEWS = { split: ["fused", "reference"], fused: ["fused"], reference: ["reference"], low: ["low"], high: ["high"] };
const STALE_MS = 3000;
const GIVE_UP_MS = 8000;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export class LivePicture {
  #view = "split";
  #number = 0;
  #shown = { at: 0, age: 0, times: [], urls: [] };
  #request = null;
  #tags = {};
  #reason = "";
  #zebra = false;

  constructor() {
    $("views").addEventListener("change", (event) => this.#choose(event.target.value));
    $("split").addEventListener("input", () => this.#placeDivider());
    addEventListener("resize", () => this.#placeDivider());
    const full = $("fullscreen");
    full.hidden = !document.fullscreenEnabled;
    full.addEventListener("click", () => $("stage").requestFullscreen());
    this.#choose("split");
    setInterval(() => this.#judgeAge(), 500);
    this.#run();
  }

  /** Words for as long as there is no picture: what happened last. */
  explain(text) {
    this.#reason = text;
  }

  get view() {
    return this.#view;
  }

  /** Stripes on what is clipped, from the next picture on. */
  zebra(on) {
    this.#zebra = on;
    this.#number = 0;
    this.#request?.abort();
  }

  /** Words beside the names on the picture: {fused: "0.1 % clipped"}. */
  label(tags) {
    this.#tags = tags;
    const [main, before] = VIEWS[this.#view];
    write($("tag-main"), main, tags[main]);
    write($("tag-before"), before ?? "", tags[before]);
  }

  #choose(view) {
    this.#view = view;
    this.#number = 0;
    this.#shown.at = 0;
    $("stage").classList.toggle("splitting", view === "split");
    this.#request?.abort();
    const [main, before] = VIEWS[view];
    $("layer-main").ariaLabel = `Live ${main} picture`;
    $("layer-before").ariaLabel = `Live ${before} picture`;
    this.label(this.#tags);
    this.#placeDivider();
  }

  async #run() {
    for (;;) {
      if (document.hidden) await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
      const view = this.#view;
      try {
        await this.#fetch(view);
      } catch (error) {
        // The connection broke or the view changed: the veil says how old the picture is, and we try again.
        if (error.name !== "AbortError" || view === this.#view) await sleep(700);
      }
    }
  }

  async #fetch(view) {
    this.#request = new AbortController();
    const giveUp = setTimeout(() => this.#request.abort(), GIVE_UP_MS);
    try {
      const zebra = this.#zebra;
      const streams = [...VIEWS[view], ...(zebra ? VIEWS[view].map((stream) => `${stream}-clipped`) : [])];
      const query = `streams=${streams.join(",")}&after=${this.#number}`;
      const answer = await fetch(`/preview/set?${query}`, { signal: this.#request.signal, cache: "no-store" });
      if (answer.status === 204) return;
      if (!answer.ok) throw new Error(`preview: ${answer.status}`);
      const form = await answer.formData();
      if (view !== this.#view || zebra !== this.#zebra) return;
      await this.#show(form, view);
      this.#number = Number(answer.headers.get("X-Picture-Number"));
      this.#note(Number(answer.headers.get("X-Picture-Age-Ms")));
    } finally {
      clearTimeout(giveUp);
    }
  }

  async #show(form, view) {
    const [fresh, marks] = await Promise.all([
      Promise.all(VIEWS[view].map((stream) => decoded(form, stream))),
      Promise.all(VIEWS[view].map((stream) => decoded(form, `${stream}-clipped`))),
    ]);
    if (view !== this.#view) return;
    const stripes = marks.map((mark) => (mark && this.#zebra ? [striped(mark)] : []));
    marks.filter(Boolean).forEach((mark) => URL.revokeObjectURL(mark.src));
    const [main, before] = fresh;
    if (main) {
      $("layer-main").replaceChildren(main, ...stripes[0]);
      document.documentElement.style.setProperty("--stage-ratio", `${main.naturalWidth} / ${main.naturalHeight}`);
    }
    if (before) $("layer-before").replaceChildren(before, ...stripes[1]);
    this.#shown.urls.forEach((url) => URL.revokeObjectURL(url));
    this.#shown.urls = fresh.filter(Boolean).map((image) => image.src);
    this.#shown.size = main ? `${main.naturalWidth} × ${main.naturalHeight}` : "";
  }

  #note(age) {
    const now = performance.now();
    document.body.dataset.firstPictureMs ??= Math.round(now);
    this.#shown.at = now;
    this.#shown.age = age;
    this.#shown.times = [...this.#shown.times.filter((t) => now - t < 3000), now];
    this.#judgeAge();
  }

  #judgeAge() {
    const now = performance.now();
    const { at, age, times, size } = this.#shown;
    const old = now - at + age;
    const stale = !at || old > STALE_MS;
    $("stage").classList.toggle("stale", stale);
    set($("veil"), !stale ? "" : at ? `Picture ${span(old / 1000)} old` : ["No picture yet", this.#reason].filter(Boolean).join("\n"));
    const recent = times.filter((t) => now - t < 3000);
    const perSecond = recent.length > 1 ? (1000 * (recent.length - 1)) / (recent.at(-1) - recent[0]) : 0;
    set($("picture-facts"), stale || !size ? "" : `${size}, ${perSecond.toFixed(1)} pictures a second`);
  }

  #placeDivider() {
    const slider = $("split");
    const at = Number(slider.value);
    $("stage").style.setProperty("--split", `${at}%`);
    slider.setAttribute("aria-valuetext", `reference ${at} %, fused ${100 - at} %`);
    const x = ($("stage").clientWidth * at) / 100;
    $("tag-before").classList.toggle("away", x < $("tag-before").offsetWidth + 12);
    const room = $("stage").clientWidth - x;
    $("tag-main").classList.toggle("away", this.#view === "split" && room < $("tag-main").offsetWidth + 12);
  }
}

async function decoded(form, stream) {
  if (!form.has(stream)) return null;
  const image = new Image();
  image.src = URL.createObjectURL(form.get(stream));
  image.alt = ""; // its layer has the name, and stays
  image.dataset.stream = stream;
  await image.decode();
  return image;
}

/** Diagonal stripes where a picture of marks is white. */
function striped(mark) {
  const canvas = document.createElement("canvas");
  const [width, height] = [(canvas.width = mark.naturalWidth), (canvas.height = mark.naturalHeight)];
  const paper = canvas.getContext("2d", { willReadFrequently: true });
  paper.drawImage(mark, 0, 0);
  const pixels = paper.getImageData(0, 0, width, height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const clipped = pixels.data[4 * i] > 127;
      words[i] = !clipped ? 0 : (x + y) & 4 ? 0xff1e1ee6 : 0xffffffff; // red and white; little endian ABGR
    }
  }
  paper.putImageData(pixels, 0, 0);
  canvas.className = "stripes";
  return canvas;
}

function write(tag, stream, words = "") {
  set(tag.querySelector("b"), capital(stream));
  set(tag.querySelector("span"), words);
}
