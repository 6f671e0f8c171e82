/** @import { Skeleton } from "./glb.js" */

const TRUNK = ["bend", "turn", "tilt"];
const ARM = ["twist", "bend", "lift"];
const LEG = ["swing", "twist", "spread"];

/**
 * Which joints belong together, by their names, the first that fits; and what turning them about x, y and z does, which
 * point to the person's left, up and forward while the arms are stretched sideways.
 */
const LIMBS = /** @type {[string, RegExp, string[]][]} */ ([
  ["Head", /head|neck|jaw|eye/, TRUNK],
  ["Trunk", /pelvis|spine/, TRUNK],
  ["Left arm", /^left_(collar|shoulder|elbow|wrist|hand)/, ARM],
  ["Right arm", /^right_(collar|shoulder|elbow|wrist|hand)/, ARM],
  ["Left leg", /^left_(hip|knee|ankle|foot)/, LEG],
  ["Right leg", /^right_(hip|knee|ankle|foot)/, LEG],
  ["Left fingers", /^left_(thumb|index|middle|ring|pinky)/, ARM],
  ["Right fingers", /^right_(thumb|index|middle|ring|pinky)/, ARM],
  ["Others", /^/, ["x", "y", "z"]],
]);

/** @typedef {{name: string, axes: string[], joints: {node: number, name: string}[]}} Limb */

/**
 * The joints by limb, in the order in which people look for them.
 * @param {Skeleton} skeleton
 * @returns {Limb[]}
 */
export function limbsOf({ joints, nodes }) {
  const limbs = LIMBS.map(([name, , axes]) => /** @type {Limb} */ ({ name, axes, joints: [] }));
  for (const node of joints) {
    const { name } = nodes[node];
    const own = limbs[LIMBS.findIndex(([, pattern]) => pattern.test(name))];
    own.joints.push({ node, name: name.replace(/^(left|right)_/, "").replace(/_/g, " ") });
  }
  return limbs.filter((limb) => limb.joints.length);
}
