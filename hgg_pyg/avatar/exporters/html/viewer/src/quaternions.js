/** Quaternions xyzw. @typedef {number[]} Quaternion */

/**
 * First `right`, then `left`.
 * @param {Quaternion} left
 * @param {Quaternion} right
 * @returns {Quaternion}
 */
export function multiply([x1, y1, z1, w1], [x2, y2, z2, w2]) {
  return [
    w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
    w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
    w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
    w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
  ];
}

/**
 * The rotation that lies so far on the short way between two.
 * @param {Quaternion} before
 * @param {Quaternion} after
 * @param {number} share 0 to 1
 * @returns {Quaternion}
 */
export function slerp(before, after, share) {
  let cosine = before.reduce((sum, value, i) => sum + value * after[i], 0);
  const sign = cosine < 0 ? -1 : 1;
  cosine = Math.min(1, sign * cosine);
  const angle = Math.acos(cosine);
  const sine = Math.sin(angle);
  const [a, b] = sine < 1e-6 ? [1 - share, share] : [Math.sin((1 - share) * angle) / sine, Math.sin(share * angle) / sine];
  return before.map((value, i) => a * value + sign * b * after[i]);
}

/**
 * Turns about z, then about y, then about x.
 * @param {number[]} angles about x, y and z, radians
 * @returns {Quaternion}
 */
export function fromAngles([x, y, z]) {
  const about = (/** @type {number} */ axis, /** @type {number} */ angle) => {
    const quaternion = [0, 0, 0, Math.cos(angle / 2)];
    quaternion[axis] = Math.sin(angle / 2);
    return quaternion;
  };
  return multiply(about(0, x), multiply(about(1, y), about(2, z)));
}

/**
 * Row by row, of a quaternion of any length.
 * @param {Quaternion} quaternion
 * @returns {number[]} 9
 */
export function matrixOf(quaternion) {
  const length = Math.hypot(...quaternion);
  const [x, y, z, w] = quaternion.map((value) => value / length);
  return [
    ...[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    ...[2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    ...[2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ];
}
