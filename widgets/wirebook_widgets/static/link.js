// The page's end of the publisher's protocol (see `_view.py` for the messages): one link for each model,
// shared by all its views in this page.

const REMINDER = 20000; // ms without a delta after which a looking page says again that it looks

/** Talks with the kernel; `onDelta(delta, full)` gets each delta once and in order. */
export class Link {
  constructor(model, onDelta) {
    this.model = model;
    this.onDelta = onDelta;
    this.page = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.number = 0;
    this.lost = false;
    this.lookers = new Set();
    this.requests = new Map();
    this.lastRequest = 0;
    this.live = false;
    this.looking = false;
    this.onMessage = (content) => this.receive(content);
    this.onVisibility = () => this.sayLooking();
    model.on("msg:custom", this.onMessage);
    document.addEventListener("visibilitychange", this.onVisibility);
  }

  close() {
    this.model.off("msg:custom", this.onMessage);
    document.removeEventListener("visibilitychange", this.onVisibility);
    clearTimeout(this.reminder);
    if (this.looking) this.say("hide");
    this.looking = false;
  }

  /** `view` came into sight or left it. */
  setLooking(view, looks) {
    if (looks) this.lookers.add(view);
    else this.lookers.delete(view);
    this.sayLooking();
  }

  sayLooking() {
    const looking = this.lookers.size > 0 && !document.hidden;
    if (looking === this.looking) return;
    this.looking = looking;
    this.say(looking ? "look" : "hide");
    this.remind();
  }

  remind() {
    clearTimeout(this.reminder);
    if (!this.looking) return;
    this.reminder = setTimeout(() => {
      this.say("look");
      this.remind();
    }, REMINDER);
  }

  say(type, more = {}) {
    this.model.send({ type, page: this.page, seq: this.number, ...more });
  }

  /** Ask the kernel for something; resolves when it is done, rejects with its reason. */
  request(type, more) {
    this.lastRequest += 1;
    const id = this.lastRequest;
    this.say(type, { id, ...more });
    return new Promise((resolve, reject) => this.requests.set(id, { resolve, reject }));
  }

  receive(content) {
    if (content.type === "delta") this.receiveDelta(content);
    else if (content.type === "answer" && content.page === this.page) this.receiveAnswer(content);
  }

  receiveDelta({ seq, full, body }) {
    if (!full && (this.lost || seq !== this.number + 1)) {
      if (!this.lost && this.looking) this.say("resync");
      this.lost = true;
      return;
    }
    this.lost = false;
    this.live = true;
    this.number = seq;
    this.onDelta(body, full);
    this.remind();
    this.ackSoon();
  }

  /** Acknowledge when the browser has had time to paint: that makes a slow page get fewer deltas. */
  ackSoon() {
    if (!this.looking || this.acking) return;
    this.acking = true;
    let done = false;
    const ack = () => {
      if (done) return;
      done = true;
      this.acking = false;
      if (this.looking) this.say("ack");
    };
    requestAnimationFrame(() => setTimeout(ack, 0));
    setTimeout(ack, 500); // a page behind another window draws no frames
  }

  receiveAnswer({ id, error }) {
    const request = this.requests.get(id);
    this.requests.delete(id);
    if (error === null) request?.resolve();
    else request?.reject(new Error(error));
  }
}
