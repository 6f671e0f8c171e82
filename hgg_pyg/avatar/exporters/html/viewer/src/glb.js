/**
 * Skinned splats in a .glb file, as docs/skinned_splats.md has them.
 *
 * @typedef {object} Splats M Gaussians at rest
 * @property {number} count M
 * @property {Float32Array} means [M, 3] metres
 * @property {Float32Array} rotations [M, 4] quaternions xyzw, of unit length up to rounding
 * @property {Float32Array} scales [M, 3] standard deviations, metres
 * @property {Float32Array} opacities [M]
 * @property {Float32Array} colors [M, 3] sRGB
 * @property {Uint16Array} joints [M, K] that each follows
 * @property {Float32Array} weights [M, K] how much
 *
 * @typedef {object} Node
 * @property {string} name
 * @property {number} parent -1 for roots
 * @property {number[]} translation at rest, against the parent
 * @property {number[]} rotation xyzw
 *
 * @typedef {object} Skeleton
 * @property {Node[]} nodes
 * @property {number[]} order of all nodes, parents before their children
 * @property {number[]} joints the node of each
 * @property {Float32Array} inverseBind [J, 16] column by column
 *
 * @typedef {object} Track what moves a node, from key to key
 * @property {number} node
 * @property {"rotation" | "translation"} path
 * @property {Float32Array} times [T] seconds
 * @property {Float32Array} values [T, 4] or [T, 3]
 *
 * @typedef {{name: string, seconds: number, tracks: Track[]}} Clip
 * @typedef {{variance: number, focal: number, distance: number}} Footprint
 * @typedef {object} Avatar
 * @property {Splats} splats
 * @property {Skeleton} skeleton
 * @property {Clip[]} clips
 * @property {Footprint} footprint how Gaussians were blurred on the images that they were made of
 * @property {Record<string, string>} about where it comes from, licences
 */

const SPLATS = "KHR_gaussian_splatting";
const SKINNED = "HGG_skinned_splats";
const Y0 = 0.28209479177387814; // the constant harmonic, 1 / (2 sqrt(pi))

/** Component types: how they are read, how many bytes they have, and what stands for 1. */
const COMPONENTS = /** @type {Record<number, [(v: DataView, at: number) => number, number, number]>} */ ({
  5120: [(v, at) => v.getInt8(at), 1, 127],
  5121: [(v, at) => v.getUint8(at), 1, 255],
  5122: [(v, at) => v.getInt16(at, true), 2, 32767],
  5123: [(v, at) => v.getUint16(at, true), 2, 65535],
  5126: [(v, at) => v.getFloat32(at, true), 4, 1],
});
const WIDTHS = /** @type {Record<string, number>} */ ({ SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT4: 16 });

/**
 * Read a file.
 * @param {ArrayBuffer} content
 * @returns {Avatar}
 * @throws {Error} it is something else
 */
export function readGlb(content) {
  const header = new DataView(content);
  if (header.getUint32(0, true) !== 0x46546c67) throw Error("this is no .glb file");
  const length = header.getUint32(12, true);
  const document = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 20, length)));
  /** @param {number} index of an accessor */
  const read = (index) => accessor(document, new DataView(content, 28 + length), index);

  const drawn = document.nodes.find((/** @type {any} */ node) => node.skin !== undefined);
  const primitive = document.meshes[drawn.mesh].primitives[0];
  const extension = primitive.extensions[SPLATS].extensions[SKINNED];
  if (extension.version !== 1) throw Error(`expected ${SKINNED} of version 1, found ${extension.version}`);
  return {
    splats: readSplats(primitive.attributes, read),
    skeleton: readSkeleton(document.nodes, document.skins[drawn.skin], read),
    clips: (document.animations ?? []).map((/** @type {any} */ own) => readClip(own, read)),
    footprint: extension.footprint,
    about: document.asset.extras ?? {},
  };
}

/**
 * An accessor's values, integers as the numbers that they stand for.
 * @param {any} document
 * @param {DataView} buffer
 * @param {number} index
 */
function accessor(document, buffer, index) {
  const { bufferView, byteOffset = 0, componentType, count, normalized, type } = document.accessors[index];
  const view = document.bufferViews[bufferView];
  const [get, size, top] = COMPONENTS[componentType];
  const width = WIDTHS[type];
  const stride = view.byteStride ?? size * width;
  const start = (view.byteOffset ?? 0) + byteOffset;
  const unit = normalized ? top : 1;
  const values = new Float32Array(count * width);
  for (let row = 0, to = 0; row < count; row++) {
    for (let column = 0; column < width; column++) values[to++] = get(buffer, start + row * stride + column * size) / unit;
  }
  return values;
}

/**
 * @param {Record<string, number>} named accessors
 * @param {(index: number) => Float32Array} read
 * @returns {Splats}
 */
function readSplats(named, read) {
  const means = read(named.POSITION);
  const count = means.length / 3;
  const sets = Object.keys(named).filter((name) => name.startsWith("JOINTS_")).length;
  const joints = new Uint16Array(4 * sets * count);
  const weights = new Float32Array(4 * sets * count);
  for (let set = 0; set < sets; set++) {
    const [some, much] = [read(named[`JOINTS_${set}`]), read(named[`WEIGHTS_${set}`])];
    for (let i = 0; i < 4 * count; i++) {
      const to = (i >> 2) * 4 * sets + 4 * set + (i & 3);
      joints[to] = some[i];
      weights[to] = much[i];
    }
  }
  return {
    count,
    means,
    rotations: read(named[`${SPLATS}:ROTATION`]),
    scales: read(named[`${SPLATS}:SCALE`]),
    opacities: read(named[`${SPLATS}:OPACITY`]),
    colors: read(named[`${SPLATS}:SH_DEGREE_0_COEF_0`]).map((value) => 0.5 + Y0 * value),
    joints,
    weights,
  };
}

/**
 * @param {any[]} entries
 * @param {any} skin
 * @param {(index: number) => Float32Array} read
 * @returns {Skeleton}
 */
function readSkeleton(entries, skin, read) {
  const nodes = entries.map((entry) => ({
    name: entry.name ?? "",
    parent: -1,
    translation: entry.translation ?? [0, 0, 0],
    rotation: entry.rotation ?? [0, 0, 0, 1],
  }));
  entries.forEach((entry, index) => (entry.children ?? []).forEach((/** @type {number} */ child) => (nodes[child].parent = index)));
  const order = /** @type {number[]} */ ([]);
  /** @param {number} parent */
  const walk = (parent) =>
    nodes.forEach((node, index) => {
      if (node.parent !== parent) return;
      order.push(index);
      walk(index);
    });
  walk(-1);
  return { nodes, order, joints: skin.joints, inverseBind: read(skin.inverseBindMatrices) };
}

/**
 * @param {any} animation
 * @param {(index: number) => Float32Array} read
 * @returns {Clip}
 */
function readClip(animation, read) {
  const tracks = animation.channels.map((/** @type {any} */ channel) => {
    const { input, output } = animation.samplers[channel.sampler];
    return { node: channel.target.node, path: channel.target.path, times: read(input), values: read(output) };
  });
  const ends = tracks.map((/** @type {Track} */ track) => track.times[track.times.length - 1]);
  return { name: animation.name, seconds: Math.max(0, ...ends), tracks };
}
