// The stream of figures: says when it is lost, and comes back by itself.

const SILENCE_MS = 4000;
const RETRY_MS = [300, 600, 1200, 2500, 5000];

export class Link {
  #url;
  #onStatus;
  #onState;
  #source = null;
  #heard = performance.now();
  #state = "connecting";
  #tries = 0;
  #timer = 0;

  constructor(url, { onStatus, onState }) {
    this.#url = url;
    this.#onStatus = onStatus;
    this.#onState = onState;
    setInterval(() => this.#watch(), 1000);
    addEventListener("online", () => this.#open());
    this.#open();
  }

  /** Seconds since the last figures. */
  get age() {
    return (performance.now() - this.#heard) / 1000;
  }

  #open() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = new EventSource(this.#url);
    this.#source.onmessage = (message) => {
      this.#heard = performance.now();
      this.#tries = 0;
      this.#become("live");
      this.#onStatus(JSON.parse(message.data));
    };
    this.#source.onerror = () => this.#lose();
  }

  #lose() {
    this.#source?.close();
    this.#become("lost");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), RETRY_MS[Math.min(this.#tries++, RETRY_MS.length - 1)]);
  }

  #watch() {
    if (this.#state === "live" && performance.now() - this.#heard > SILENCE_MS) this.#lose();
    if (this.#state === "lost") this.#onState("lost");
  }

  #become(state) {
    const changed = state !== this.#state;
    this.#state = state;
    if (changed) this.#onState(state);
  }
}
