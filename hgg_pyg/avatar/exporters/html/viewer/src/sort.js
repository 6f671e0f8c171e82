import { MAP } from "./skin.js";

/** @import { Splats } from "./glb.js" */
/** @import { Skin } from "./skin.js" */

const PLACES = 65536; // that the person's depth is cut into: slices thinner than a tenth of a millimetre

/**
 * The order in which Gaussians are drawn, the farthest first: a counting sort, on this thread, of every frame anew. It
 * takes 2 ms for 65,536, so that no frame shows the order of the one before.
 */
export class DepthOrder {
  /**
   * @param {Splats} splats
   * @param {Skin} skin
   */
  constructor(splats, skin) {
    this.splats = splats;
    this.skin = skin;
    /** [M] */
    this.order = new Uint32Array(splats.count);
    /** Mean depth, metres. */
    this.middle = 0;
    this.depths = new Float32Array(splats.count);
    this.places = new Uint16Array(splats.count);
    this.starts = new Uint32Array(PLACES + 1);
    this.along = new Float64Array(4 * skin.rows);
  }

  /**
   * Sort by depth along the camera's axis.
   * @param {ArrayLike<number>} view [4, 4] row by row, world to camera, z forward
   */
  sort(view) {
    const { along, depths, order, places, starts } = this;
    const { count, means } = this.splats;
    const { maps, rowOf, rows } = this.skin;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < 4; column++) {
        const i = MAP * row + column;
        along[4 * row + column] = view[8] * maps[i] + view[9] * maps[i + 4] + view[10] * maps[i + 8];
      }
      along[4 * row + 3] += view[11];
    }
    let [nearest, farthest, sum] = [Infinity, -Infinity, 0];
    for (let i = 0; i < count; i++) {
      const row = 4 * rowOf[i];
      const depth =
        along[row] * means[3 * i] + along[row + 1] * means[3 * i + 1] + along[row + 2] * means[3 * i + 2] + along[row + 3];
      depths[i] = depth;
      sum += depth;
      if (depth < nearest) nearest = depth;
      if (depth > farthest) farthest = depth;
    }
    this.middle = sum / count;
    const scale = (PLACES - 1) / Math.max(farthest - nearest, 1e-9);
    starts.fill(0);
    for (let i = 0; i < count; i++) {
      const place = ((farthest - depths[i]) * scale) | 0;
      places[i] = place;
      starts[place + 1]++;
    }
    for (let place = 1; place <= PLACES; place++) starts[place] += starts[place - 1];
    for (let i = count - 1; i >= 0; i--) order[starts[places[i]]++] = i; // of equal ones the first is drawn last
  }
}
