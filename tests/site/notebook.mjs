// Run a notebook's cells in Pyodide under node: node notebook.mjs PYODIDE_FOLDER WHEELS NOTEBOOK
import fs from "node:fs";
import path from "node:path";

const [pyodideFolder, wheels, notebook] = process.argv.slice(2).map((p) => path.resolve(p));
const { loadPyodide } = await import(path.join(pyodideFolder, "pyodide.mjs"));
const python = await loadPyodide({ indexURL: pyodideFolder + path.sep });
const quiet = { messageCallback: () => {} };
await python.loadPackage(["numpy", "matplotlib", "pillow", "ipython", "sqlite3"], quiet);
for (const name of fs.readdirSync(wheels)) {
  const bytes = new Uint8Array(fs.readFileSync(path.join(wheels, name)));
  python.unpackArchive(bytes.buffer, "wheel");
}
python.globals.set("source", fs.readFileSync(notebook, "utf8"));
const failed = await python.runPythonAsync(`
import contextlib, io, json, os
from js import process

os.environ["MPLBACKEND"] = "agg"
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
failed = 0
for cell in json.loads(source)["cells"]:
    if cell["cell_type"] != "code" or cell["source"].startswith("%pip"):
        continue
    start, printed = process.cpuUsage(), io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = shell.run_cell(cell["source"], store_history=True)
    allowed = result.success or "raises-exception" in cell["metadata"].get("tags", [])
    first = cell["source"].splitlines()[0]
    used = process.cpuUsage(start)  # of a processor, which a busy machine stretches less
    print(f"{(used.user + used.system) / 1e6:6.1f} s  {first}")
    if not allowed:
        print(printed.getvalue()[-3000:])
        failed += 1
        break
failed
`);
process.exit(failed);
