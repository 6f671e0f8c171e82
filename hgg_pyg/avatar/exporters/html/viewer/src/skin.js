/** @import { Splats } from "./glb.js" */

/** Numbers of a row's map: three rows [A | b], then the rotation of A as a quaternion xyzw. */
export const MAP = 16;

/**
 * Linear blend skinning. Gaussians of the same weights, which stand side by side in our files, share a row, so that
 * each blended matrix and its rotation are computed once.
 */
export class Skin {
  /** @param {Splats} splats */
  constructor({ count, joints, weights }) {
    const width = joints.length / count;
    /** [M] */
    this.rowOf = new Uint32Array(count);
    const first = /** @type {number[]} */ ([]);
    for (let i = 0; i < count; i++) {
      const before = width * first[first.length - 1];
      let same = i > 0;
      for (let k = 0; same && k < width; k++) {
        same = joints[before + k] === joints[width * i + k] && weights[before + k] === weights[width * i + k];
      }
      if (!same) first.push(i);
      this.rowOf[i] = first.length - 1;
    }
    this.rows = first.length;
    this.width = width;
    this.joints = new Uint16Array(this.rows * width);
    this.weights = new Float64Array(this.rows * width);
    first.forEach((i, row) => {
      const own = weights.subarray(width * i, width * i + width);
      const sum = own.reduce((total, weight) => total + weight, 0);
      for (let k = 0; k < width; k++) {
        this.joints[width * row + k] = joints[width * i + k];
        this.weights[width * row + k] = own[k] / sum;
      }
    });
    /** [R, 16] */
    this.maps = new Float32Array(MAP * this.rows);
  }

  /**
   * Bring `maps` to a pose.
   * @param {Float64Array} transforms [J, 12] of the joints, from rest pose to world
   */
  pose(transforms) {
    const { rows, width, joints, weights, maps } = this;
    const blended = new Float64Array(12);
    for (let row = 0; row < rows; row++) {
      blended.fill(0);
      for (let k = width * row; k < width * (row + 1); k++) {
        const weight = weights[k];
        if (weight === 0) continue;
        const joint = 12 * joints[k];
        for (let i = 0; i < 12; i++) blended[i] += weight * transforms[joint + i];
      }
      maps.set(blended, MAP * row);
      writeRotation(blended, maps, MAP * row + 12);
    }
  }
}

/**
 * The rotation nearest to A, by five of Newton's steps R <- (R + R^-T) / 2 (Higham 1986), as a quaternion.
 * @param {Float64Array} rows [A | b], 12
 * @param {Float32Array} into
 * @param {number} at where xyzw go
 */
function writeRotation(rows, into, at) {
  let [a, b, c, , d, e, f, , g, h, i] = rows;
  for (let step = 0; step < 5; step++) {
    const ca = e * i - f * h;
    const cb = f * g - d * i;
    const cc = d * h - e * g;
    const cd = c * h - b * i;
    const ce = a * i - c * g;
    const cf = b * g - a * h;
    const cg = b * f - c * e;
    const ch = c * d - a * f;
    const ci = a * e - b * d;
    const determinant = a * ca + b * cb + c * cc;
    const scale = 1 / Math.cbrt(Math.max(Math.abs(determinant), 1e-12)); // to a determinant of 1: fewer steps
    const half = 0.5 * scale;
    const share = 0.5 / (determinant * scale);
    a = half * a + share * ca;
    b = half * b + share * cb;
    c = half * c + share * cc;
    d = half * d + share * cd;
    e = half * e + share * ce;
    f = half * f + share * cf;
    g = half * g + share * cg;
    h = half * h + share * ch;
    i = half * i + share * ci;
  }
  // Of four ways to read a quaternion off a matrix, the one with the largest divisor (Shepperd 1978).
  const [w2, x2, y2, z2] = [1 + a + e + i, 1 + a - e - i, 1 - a + e - i, 1 - a - e + i];
  const greatest = Math.max(w2, x2, y2, z2);
  const scale = 0.5 / Math.sqrt(greatest);
  let [x, y, z, w] = [h - f, c - g, d - b, w2];
  if (greatest === x2) [x, y, z, w] = [x2, b + d, c + g, h - f];
  else if (greatest === y2) [x, y, z, w] = [b + d, y2, f + h, c - g];
  else if (greatest === z2) [x, y, z, w] = [c + g, f + h, z2, d - b];
  into[at] = scale * x;
  into[at + 1] = scale * y;
  into[at + 2] = scale * z;
  into[at + 3] = scale * w;
}
