import { matrixOf, multiply, slerp } from "./quaternions.js";

/** @import { Clip, Skeleton, Track } from "./glb.js" */
/** @import { Quaternion } from "./quaternions.js" */

/** A map of three rows of four numbers, [A | b]. */
const ROWS = 12;

/**
 * Where the joints are in a clip.
 * @param {Skeleton} skeleton
 * @param {Clip | undefined} clip none is the rest pose
 * @param {number} time seconds
 * @param {Map<number, Quaternion>} own rotations of nodes by hand, before those of the clip
 * @returns {{maps: Float64Array, places: Float64Array}} from rest pose to world [J, 12], and the joints' places [J, 3]
 */
export function poseSkeleton(skeleton, clip, time, own) {
  const { nodes, joints, inverseBind } = skeleton;
  const rotations = nodes.map((node) => node.rotation);
  const translations = nodes.map((node) => node.translation);
  for (const track of clip?.tracks ?? []) {
    const value = at(track, time);
    (track.path === "rotation" ? rotations : translations)[track.node] = value;
  }
  own.forEach((rotation, node) => (rotations[node] = multiply(rotations[node], rotation)));

  const world = new Float64Array(ROWS * nodes.length);
  for (const node of skeleton.order) {
    const [rotation, translation] = [matrixOf(rotations[node]), translations[node]];
    const local = [0, 1, 2].flatMap((row) => [...rotation.slice(3 * row, 3 * row + 3), translation[row]]);
    const { parent } = nodes[node];
    world.set(parent < 0 ? local : compose(world.subarray(ROWS * parent, ROWS * parent + ROWS), local), ROWS * node);
  }
  const maps = new Float64Array(ROWS * joints.length);
  const places = new Float64Array(3 * joints.length);
  joints.forEach((node, joint) => {
    const own = world.subarray(ROWS * node, ROWS * node + ROWS);
    const inverse = Array.from({ length: ROWS }, (_, i) => inverseBind[16 * joint + 4 * (i & 3) + (i >> 2)]);
    maps.set(compose(own, inverse), ROWS * joint);
    places.set([own[3], own[7], own[11]], 3 * joint);
  });
  return { maps, places };
}

/**
 * @param {ArrayLike<number>} left
 * @param {ArrayLike<number>} right
 * @returns {number[]}
 */
function compose(left, right) {
  const product = Array(ROWS);
  for (let row = 0; row < 12; row += 4) {
    for (let column = 0; column < 4; column++) {
      product[row + column] =
        left[row] * right[column] + left[row + 1] * right[4 + column] + left[row + 2] * right[8 + column];
    }
    product[row + 3] += left[row + 3];
  }
  return product;
}

/**
 * What a track says of a time: spherical interpolation of rotations, linear of places.
 * @param {Track} track
 * @param {number} time seconds
 * @returns {number[]}
 */
function at({ path, times, values }, time) {
  const width = path === "rotation" ? 4 : 3;
  const key = (/** @type {number} */ index) => Array.from(values.subarray(width * index, width * index + width));
  let [before, after] = [0, times.length - 1];
  while (after - before > 1) {
    const middle = (before + after) >> 1;
    if (times[middle] <= time) before = middle;
    else after = middle;
  }
  const span = times[after] - times[before];
  const share = span > 0 ? Math.min(1, Math.max(0, (time - times[before]) / span)) : 0;
  const [from, to] = [key(before), key(after)];
  return path === "rotation" ? slerp(from, to, share) : from.map((value, i) => (1 - share) * value + share * to[i]);
}
