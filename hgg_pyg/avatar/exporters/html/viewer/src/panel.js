import { limbsOf } from "./limbs.js";

/** @import { Scene } from "./scene.js" */

const REACH = 2; // radians that a slider bends a joint
const WIDE = 760; // pixels of a page that has room for the settings beside the person
const REST = "rest pose";

/**
 * An element of the page.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export const element = (id) => /** @type {T} */ (document.getElementById(id));

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {object} properties
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** What is below and beside the picture: buttons, sliders, and what they say. */
export class Panel {
  /**
   * @param {Scene} scene
   * @param {() => void} changed
   */
  constructor(scene, changed) {
    this.scene = scene;
    this.changed = changed;
    this.playing = scene.avatar.clips.length > 0 && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.time = /** @type {HTMLInputElement} */ (element("time"));
    this.motions = /** @type {HTMLSelectElement} */ (element("motion"));
    this.sharpness = /** @type {HTMLInputElement} */ (element("sharpness"));
    this.sliders = /** @type {HTMLInputElement[]} */ ([]);

    const names = [...scene.avatar.clips.map((clip) => clip.name), REST];
    this.motions.append(...names.map((name, index) => make("option", { value: index }, name)));
    this.motions.onchange = () => this.choose(Number(this.motions.value));
    element("play").onclick = () => this.play(!this.playing);
    this.time.oninput = () => {
      this.play(false);
      scene.time = Number(this.time.value);
      changed();
    };
    element("more").onclick = () => this.toggle();
    this.sharpness.oninput = () => this.sharpen(2 ** Number(this.sharpness.value));
    const color = /** @type {HTMLInputElement} */ (element("background"));
    color.oninput = () => this.paint(color.value);
    for (const swatch of document.querySelectorAll("[data-color]")) {
      const own = /** @type {HTMLButtonElement} */ (swatch);
      own.onclick = () => this.paint(own.dataset.color ?? "#ffffff");
    }
    element("frame").onclick = () => this.frame();
    element("straighten").onclick = () => this.straighten();
    this.listLimbs();
    this.listFacts();
    this.choose(0);
    this.play(this.playing);
    this.open(innerWidth >= WIDE);
    this.frame();
  }

  /** @param {boolean} playing */
  play(playing) {
    this.playing = playing && Boolean(this.scene.clip?.seconds);
    const button = element("play");
    button.classList.toggle("playing", this.playing);
    button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    this.changed();
  }

  /** @param {number} motion index, the rest pose after the last */
  choose(motion) {
    const { scene } = this;
    const playing = this.playing || !scene.clip;
    scene.motion = motion;
    scene.time = 0;
    scene.face();
    this.motions.value = String(motion);
    this.time.max = String(scene.clip?.seconds ?? 0);
    this.time.disabled = !scene.clip?.seconds;
    this.play(playing);
  }

  /** @param {number} step through the motions, around */
  next(step) {
    const count = this.scene.avatar.clips.length + 1;
    this.choose((this.scene.motion + step + count) % count);
  }

  /** @param {number} sharpness 1/4 to 4 */
  sharpen(sharpness) {
    this.scene.sharpness = Math.min(4, Math.max(0.25, sharpness));
    this.sharpness.value = String(Math.log2(this.scene.sharpness));
    this.changed();
  }

  /** @param {string} color #rrggbb */
  paint(color) {
    this.scene.background = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);
    /** @type {HTMLInputElement} */ (element("background")).value = color;
    this.changed();
  }

  frame() {
    this.scene.frame();
    this.changed();
  }

  straighten() {
    this.scene.bends.clear();
    for (const slider of this.sliders) slider.value = "0";
    this.changed();
  }

  /** @param {boolean} open */
  open(open) {
    element("panel").hidden = !open;
    element("more").setAttribute("aria-expanded", String(open));
    this.measure();
  }

  toggle() {
    this.open(Boolean(element("panel").hidden));
  }

  /** Hide or show everything but the picture. */
  bare() {
    document.body.classList.toggle("bare");
    this.measure();
  }

  /** See what of the picture is covered; the person stands in the middle of the rest. */
  measure() {
    const [bar, panel] = ["bar", "panel"].map((id) => element(id).getBoundingClientRect());
    const beside = panel.width > 0 && panel.left > innerWidth / 2;
    const lowest = Math.min(...[bar, beside ? bar : panel].map((box) => (box.height ? box.top : innerHeight)));
    this.scene.camera.free = [beside ? panel.left / innerWidth : 1, lowest / innerHeight];
    this.changed();
  }

  showTime() {
    this.time.value = String(this.scene.time);
  }

  /** @param {number} rate frames per second, 0 where nothing moves */
  showRate(rate) {
    element("rate").textContent = rate ? `${rate.toFixed(rate < 10 ? 1 : 0)} fps` : "";
  }

  listLimbs() {
    for (const { name, axes, joints } of limbsOf(this.scene.avatar.skeleton)) {
      const rows = joints.map((joint) =>
        make("fieldset", {}, make("legend", {}, joint.name), ...this.bendsOf(joint.node, `${name}, ${joint.name}`, axes)),
      );
      element("limbs").append(make("details", {}, make("summary", {}, name), ...rows));
    }
  }

  /**
   * Three sliders of a joint.
   * @param {number} node
   * @param {string} name
   * @param {string[]} axes what turning about x, y and z is called
   */
  bendsOf(node, name, axes) {
    return axes.map((axis, index) => {
      const slider = make("input", { type: "range", min: -REACH, max: REACH, step: "any", value: 0 });
      slider.setAttribute("aria-label", `${name}: ${axis}`);
      slider.oninput = () => {
        const angles = this.scene.bends.get(node) ?? [0, 0, 0];
        angles[index] = Number(slider.value);
        this.scene.bends.set(node, angles);
        this.changed();
      };
      slider.ondblclick = () => {
        slider.value = "0";
        slider.dispatchEvent(new Event("input"));
      };
      this.sliders.push(slider);
      return make("label", {}, axis, slider);
    });
  }

  listFacts() {
    const { about, splats } = this.scene.avatar;
    const facts = [["Gaussians", splats.count.toLocaleString("en")], ...Object.entries(about)];
    element("facts").append(...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, String(text))]));
  }
}
