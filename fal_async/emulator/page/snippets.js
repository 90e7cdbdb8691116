// The current input as a program: Python with fal_async, JavaScript with @fal-ai/client, curl.

function python(value, indent = "") {
  const inner = `${indent}    `;
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const entries = Array.isArray(value) ? value.map((one) => python(one, inner)) : Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${python(one, inner)}`);
  if (!entries.length) return open + close;
  const line = `${open}${entries.join(", ")}${close}`;
  return line.length < 80 && !line.includes("\n") ? line : `${open}\n${entries.map((entry) => `${inner}${entry},\n`).join("")}${indent}${close}`;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const indented = (text, by) => text.replaceAll("\n", `\n${by}`);

export const SNIPPETS = {
  Python: (id, input) => `import asyncio

from fal_async import Session


async def main() -> None:
    async with Session() as fal:  # reads FAL_BASE_URL and FAL_KEY
        result = await fal.subscribe(
            ${python(id)},
            ${python(input, "            ")},
        )
    print(result.data)


asyncio.run(main())
`,
  JavaScript: (id, input) => `import { fal } from "@fal-ai/client";

// The hosts of this client are constants; this leads them to the emulator.
const base = process.env.FAL_BASE_URL;
fal.config({
  credentials: process.env.FAL_KEY,
  requestMiddleware: async (request) => ({ ...request, url: request.url.replace("https:/", base) }),
});
const result = await fal.subscribe(${JSON.stringify(id)}, {
  input: ${indented(JSON.stringify(input, null, 2), "  ")},
});
console.log(result.data);
`,
  curl: (id, input) => `curl "$FAL_BASE_URL/fal.run/${id}" \\
  -H "Authorization: Key $FAL_KEY" \\
  -H "Content-Type: application/json" \\
  -d ${quoted(JSON.stringify(input))}
`,
};

export const exports = (url, key) => `export FAL_BASE_URL=${url} FAL_KEY=${/^[\w:.-]+$/.test(key) ? key : quoted(key)}\n`;
