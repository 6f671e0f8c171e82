import { COPY_FRAGMENT, COPY_VERTEX, SPLAT_FRAGMENT, SPLAT_VERTEX, TABLE_WIDTH } from "./shaders.js";
import { MAP, Skin } from "./skin.js";

/** @import { Splats } from "./glb.js" */

/**
 * @typedef {object} View
 * @property {number[]} matrix [4, 4] row by row, world to camera as OpenCV has it
 * @property {number[]} focal x and y, pixels
 * @property {number[]} center x and y, pixels
 */

const [ORDER, SPLATS, MAPS, IMAGE] = [0, 1, 2, 3]; // units of textures
const TEXELS = 4; // of a Gaussian, and of a row's map

/** Draws posed Gaussians into a canvas, the farthest first. */
export class Painter {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Splats} splats
   * @param {Skin} skin
   * @throws {Error} the browser lacks something, said in words
   */
  constructor(canvas, splats, skin) {
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" });
    if (!gl) throw Error("This browser lacks WebGL2, or it is switched off.");
    const most = (gl.getParameter(gl.MAX_TEXTURE_SIZE) * TABLE_WIDTH) / TEXELS;
    if (splats.count > most) throw Error(`This graphics processor takes up to ${most.toLocaleString("en")} Gaussians.`);
    this.canvas = canvas;
    this.gl = gl;
    this.skin = skin;
    this.count = splats.count;
    this.program = link(gl, SPLAT_VERTEX, SPLAT_FRAGMENT);
    this.copy = link(gl, COPY_VERTEX, COPY_FRAGMENT);
    this.at = uniforms(gl, this.program);

    // Eight bits per channel are too few for sums of dozens of faint Gaussians: 16 where the browser draws to them.
    this.deep = Boolean(gl.getExtension("EXT_color_buffer_float") ?? gl.getExtension("EXT_color_buffer_half_float"));
    this.target = gl.createFramebuffer();
    this.targetSize = "";

    this.order = new Uint32Array(padded(this.count));
    this.maps = new Float32Array(4 * padded(TEXELS * skin.rows));
    texture(gl, ORDER, gl.R32UI, rowsOf(this.order.length), gl.RED_INTEGER, gl.UNSIGNED_INT, this.order);
    const table = splatTable(splats, skin);
    texture(gl, SPLATS, gl.RGBA32F, rowsOf(table.length / 4), gl.RGBA, gl.FLOAT, table);
    texture(gl, MAPS, gl.RGBA32F, rowsOf(this.maps.length / 4), gl.RGBA, gl.FLOAT, this.maps);
    this.corners = corners(gl, this.count);
    gl.useProgram(this.program);
    gl.uniform1i(this.at.order, ORDER);
    gl.uniform1i(this.at.splats, SPLATS);
    gl.uniform1i(this.at.maps, MAPS);
  }

  /**
   * Draw the pose that the skin is in.
   * @param {Uint32Array} order [M] the farthest first
   * @param {View} view
   * @param {number} blur added to the variance on the image, pixels squared
   * @param {number[]} background RGB, 0 to 1
   */
  draw(order, view, blur, background) {
    const { gl, at, canvas } = this;
    const { width, height } = canvas;
    this.maps.set(this.skin.maps);
    fill(gl, MAPS, gl.RGBA, gl.FLOAT, this.maps, TEXELS * this.skin.rows);
    this.order.set(order);
    fill(gl, ORDER, gl.RED_INTEGER, gl.UNSIGNED_INT, this.order, this.count);

    if (this.deep) this.resizeTarget(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.deep ? this.target : null);
    gl.viewport(0, 0, width, height);
    gl.clearColor(background[0], background[1], background[2], 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.program);
    gl.uniformMatrix4fv(at.view, true, view.matrix);
    gl.uniform2f(at.focal, view.focal[0], view.focal[1]);
    gl.uniform2f(at.center, view.center[0], view.center[1]);
    gl.uniform2f(at.size, width, height);
    gl.uniform1f(at.blur, blur);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.corners);
    gl.drawElements(gl.TRIANGLES, 6 * this.count, gl.UNSIGNED_INT, 0);
    gl.bindVertexArray(null);
    if (!this.deep) return;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.disable(gl.BLEND);
    gl.useProgram(this.copy);
    gl.uniform1i(gl.getUniformLocation(this.copy, "image"), IMAGE);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /**
   * The image of 16-bit floats in the canvas's size; without it if the browser has them in name alone.
   * @param {number} width
   * @param {number} height
   */
  resizeTarget(width, height) {
    const { gl } = this;
    if (this.targetSize === `${width}x${height}`) return;
    this.targetSize = `${width}x${height}`;
    if (this.image) gl.deleteTexture(this.image);
    this.image = texture(gl, IMAGE, gl.RGBA16F, height, gl.RGBA, gl.HALF_FLOAT, null, width);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.image, 0);
    this.deep = gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE;
  }
}

/** @param {number} texels */
const rowsOf = (texels) => Math.ceil(texels / TABLE_WIDTH);
/** @param {number} texels */
const padded = (texels) => rowsOf(texels) * TABLE_WIDTH;

/**
 * All that does not change, as the shader reads it: four texels a Gaussian.
 * @param {Splats} splats
 * @param {Skin} skin
 */
function splatTable({ count, means, rotations, scales, opacities, colors }, skin) {
  const table = new Float32Array(4 * padded(TEXELS * count));
  for (let i = 0; i < count; i++) {
    const [three, four, to] = [3 * i, 4 * i, MAP * i];
    table.set(means.subarray(three, three + 3), to);
    table[to + 3] = skin.rowOf[i];
    const length = Math.hypot(rotations[four], rotations[four + 1], rotations[four + 2], rotations[four + 3]);
    for (let k = 0; k < 4; k++) table[to + 4 + k] = rotations[four + k] / length;
    table.set(scales.subarray(three, three + 3), to + 8);
    table[to + 11] = opacities[i];
    table.set(colors.subarray(three, three + 3), to + 12);
  }
  return table;
}

/**
 * Two triangles a Gaussian; the shader knows its place in the order, and the corner, from the vertex's number. Copies of
 * one square (instances) would take eight times as long where the processor draws.
 * @param {WebGL2RenderingContext} gl
 * @param {number} count
 */
function corners(gl, count) {
  const indices = new Uint32Array(6 * count);
  for (let i = 0; i < count; i++) {
    [0, 1, 2, 2, 1, 3].forEach((corner, k) => (indices[6 * i + k] = 4 * i + corner));
  }
  const found = gl.createVertexArray();
  gl.bindVertexArray(found);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.STATIC_DRAW);
  gl.bindVertexArray(null);
  return found;
}

/**
 * @param {WebGL2RenderingContext} gl
 * @param {number} unit
 * @param {number} internal format
 * @param {number} height
 * @param {number} format
 * @param {number} type
 * @param {ArrayBufferView | null} values
 */
function texture(gl, unit, internal, height, format, type, values, width = TABLE_WIDTH) {
  const made = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texImage2D(gl.TEXTURE_2D, 0, internal, width, height, 0, format, type, values);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
  for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
  return made;
}

/**
 * New values of a table.
 * @param {WebGL2RenderingContext} gl
 * @param {number} unit
 * @param {number} format
 * @param {number} type
 * @param {ArrayBufferView} values
 * @param {number} texels that are used
 */
function fill(gl, unit, format, type, values, texels) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TABLE_WIDTH, rowsOf(texels), format, type, values);
}

/**
 * @param {WebGL2RenderingContext} gl
 * @param {string} vertex
 * @param {string} fragment
 */
function link(gl, vertex, fragment) {
  const program = gl.createProgram();
  const sources = /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]);
  for (const [kind, source] of sources) {
    const shader = /** @type {WebGLShader} */ (gl.createShader(kind));
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
      throw Error(`This browser's WebGL2 does not take a shader: ${gl.getShaderInfoLog(shader)}`);
    }
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw Error(`This browser's WebGL2 does not take the shaders: ${gl.getProgramInfoLog(program)}`);
  }
  return program;
}

/**
 * @param {WebGL2RenderingContext} gl
 * @param {WebGLProgram} program
 * @returns {Record<string, WebGLUniformLocation | null>} by name
 */
function uniforms(gl, program) {
  const count = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) ?? 0;
  const names = Array.from({ length: count }, (_, i) => gl.getActiveUniform(program, i)?.name ?? "");
  return Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
}
