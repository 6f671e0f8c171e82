// npm run build: src/ becomes ../viewer.min.js, which every page holds. With a path, it goes there instead.
import { buildSync } from "esbuild";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

buildSync({
  entryPoints: [path("src/main.js")],
  outfile: process.argv[2] ?? path("../viewer.min.js"),
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020", // which browsers with DecompressionStream and WebGL2 have
  charset: "ascii",
  legalComments: "none",
});
