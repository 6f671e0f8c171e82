/** How many texels a row of our tables has; WebGL2 promises 2048. */
export const TABLE_WIDTH = 2048;

/**
 * Four corners of each Gaussian's ellipse on the image. The formulas are those of hgg_pyg/render/projection.py and
 * stand in its order; the view is OpenCV's (x right, y down, z forward), in pixels with centres at +0.5.
 */
export const SPLAT_VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;

uniform usampler2D order;
uniform sampler2D splats; // four texels a Gaussian: mean and row, rotation, scales and opacity, colour
uniform sampler2D maps; // four texels a row: [A | b], and the rotation of A
uniform mat4 view;
uniform vec2 focal;
uniform vec2 center;
uniform vec2 size;
uniform float blur;

out vec2 offset;
flat out vec3 conic;
flat out vec4 color;

const float NEAR = 0.01;
const float MARGIN = 0.3;
const float MAX_EXTENT = 3.33;
const float ALPHA_MIN = 1.0 / 255.0;

ivec2 texel(int index) {
  return ivec2(index & ${TABLE_WIDTH - 1}, index / ${TABLE_WIDTH});
}

vec4 turn(vec4 left, vec4 right) {
  return vec4(left.w * right.xyz + right.w * left.xyz + cross(left.xyz, right.xyz), left.w * right.w - dot(left.xyz, right.xyz));
}

mat3 rotation(vec4 q) {
  vec3 d = q.xyz + q.xyz, s = q.xyz * d, w = q.w * d;
  float xy = q.x * d.y, xz = q.x * d.z, yz = q.y * d.z;
  return mat3(
    1.0 - s.y - s.z, xy + w.z, xz - w.y,
    xy - w.z, 1.0 - s.x - s.z, yz + w.x,
    xz + w.y, yz - w.x, 1.0 - s.x - s.y);
}

void main() {
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0); // beyond what is drawn
  int splat = 4 * int(texelFetch(order, texel(gl_VertexID >> 2), 0).x);
  vec4 place = texelFetch(splats, texel(splat), 0);
  int row = 4 * int(place.w);
  vec4 mean = vec4(place.xyz, 1.0);
  vec3 world = vec3(
    dot(texelFetch(maps, texel(row), 0), mean),
    dot(texelFetch(maps, texel(row + 1), 0), mean),
    dot(texelFetch(maps, texel(row + 2), 0), mean));
  vec3 seen = (view * vec4(world, 1.0)).xyz;
  vec4 shape = texelFetch(splats, texel(splat + 2), 0);
  if (seen.z < NEAR || shape.w < ALPHA_MIN) return;

  vec2 ray = seen.xy / seen.z;
  vec2 margin = MARGIN * 0.5 * size / focal;
  vec2 near = clamp(ray, -center / focal - margin, (size - center) / focal + margin);
  vec4 quaternion = turn(texelFetch(maps, texel(row + 3), 0), texelFetch(splats, texel(splat + 1), 0));
  mat3 axes = mat3(view) * rotation(quaternion);
  axes[0] *= shape.x;
  axes[1] *= shape.y;
  axes[2] *= shape.z;
  axes = transpose(axes);
  vec3 along_x = focal.x / seen.z * (axes[0] - near.x * axes[2]);
  vec3 along_y = focal.y / seen.z * (axes[1] - near.y * axes[2]);
  float xx = dot(along_x, along_x) + blur, xy = dot(along_x, along_y), yy = dot(along_y, along_y) + blur;
  float determinant = xx * yy - xy * xy;
  if (!(determinant > 0.0)) return;
  conic = vec3(yy, -xy, xx) / determinant;
  color = vec4(texelFetch(splats, texel(splat + 3), 0).rgb, shape.w);

  // The rectangle along the ellipse's axes in which alpha is at least ALPHA_MIN.
  float extent = min(sqrt(2.0 * log(max(shape.w / ALPHA_MIN, 1.0))), MAX_EXTENT);
  float middle = 0.5 * (xx + yy), apart = sqrt(max(middle * middle - determinant, 0.0));
  float longer = middle + apart, shorter = max(middle - apart, 0.0);
  vec2 axis = abs(xy) > 1e-6 * middle ? normalize(vec2(xy, longer - xx)) : (xx >= yy ? vec2(1.0, 0.0) : vec2(0.0, 1.0));
  vec2 corner = extent * vec2((gl_VertexID & 1) * 2 - 1, (gl_VertexID & 2) - 1);
  offset = corner.x * sqrt(longer) * axis + corner.y * sqrt(shorter) * vec2(-axis.y, axis.x);
  vec2 pixel = focal * ray + center + offset;
  gl_Position = vec4(pixel.x / size.x * 2.0 - 1.0, 1.0 - pixel.y / size.y * 2.0, 0.0, 1.0);
}`;

export const SPLAT_FRAGMENT = `#version 300 es
precision highp float;

in vec2 offset;
flat in vec3 conic;
flat in vec4 color;
out vec4 drawn;

void main() {
  float exponent = 0.5 * (conic.x * offset.x * offset.x + conic.z * offset.y * offset.y) + conic.y * offset.x * offset.y;
  float alpha = min(0.999, color.a * exp(-exponent));
  if (alpha < 1.0 / 255.0) discard;
  drawn = vec4(color.rgb * alpha, alpha);
}`;

/** One triangle that covers everything. */
export const COPY_VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(float((gl_VertexID & 1) * 4 - 1), float((gl_VertexID >> 1) * 4 - 1), 0.0, 1.0);
}`;

export const COPY_FRAGMENT = `#version 300 es
precision highp float;
uniform highp sampler2D image;
out vec4 drawn;
void main() {
  drawn = vec4(texelFetch(image, ivec2(gl_FragCoord.xy), 0).rgb, 1.0);
}`;
