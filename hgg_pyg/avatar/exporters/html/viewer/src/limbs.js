/** @import { Skeleton } from "./glb.js" */

/** Which joints belong together, by their names; the first that fits counts. */
const LIMBS = /** @type {[string, RegExp][]} */ ([
  ["Left hand", /^left_(thumb|index|middle|ring|pinky|hand)/],
  ["Right hand", /^right_(thumb|index|middle|ring|pinky|hand)/],
  ["Head", /head|neck|jaw|eye/],
  ["Left arm", /^left_(collar|shoulder|elbow|wrist)/],
  ["Right arm", /^right_(collar|shoulder|elbow|wrist)/],
  ["Left leg", /^left_(hip|knee|ankle|foot)/],
  ["Right leg", /^right_(hip|knee|ankle|foot)/],
  ["Trunk", /pelvis|spine/],
]);
const ORDER = ["Head", "Trunk", "Left arm", "Right arm", "Left leg", "Right leg", "Left hand", "Right hand", "Others"];

/**
 * The joints by limb, in the order in which people look for them.
 * @param {Skeleton} skeleton
 * @returns {{limb: string, joints: {node: number, name: string}[]}[]}
 */
export function limbsOf({ joints, nodes }) {
  const found = /** @type {Map<string, {node: number, name: string}[]>} */ (new Map(ORDER.map((limb) => [limb, []])));
  for (const node of joints) {
    const { name } = nodes[node];
    const limb = LIMBS.find(([, pattern]) => pattern.test(name))?.[0] ?? "Others";
    found.get(limb)?.push({ node, name: name.replace(/^(left|right)_/, "").replace(/_/g, " ") });
  }
  return [...found].filter(([, own]) => own.length).map(([limb, own]) => ({ limb, joints: own }));
}
