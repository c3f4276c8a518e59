"""Count the product's lines of code, without docstrings, comments and blank lines.

    python -m benchmarks.harness.code_lines [FOLDER]

Counts edgesplit/, export/ and runtime/ of this checkout, or of another one. A string that is a
separate statement is a docstring, also below a field or a constant.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path

PACKAGES = ("edgesplit", "export", "runtime")
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def count_lines(source: str) -> int:
    """Count the lines of code in a module."""
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                code.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(code)


def product(root: Path) -> dict[str, int]:
    """Return the lines of code by file, in the packages of a checkout."""
    # rglob follows no links, so the stages that are linked below edgesplit/ count once.
    files = [file for name in PACKAGES for file in sorted((root / name).rglob("*.py"))]
    seen = {file.resolve(): file.relative_to(root) for file in files}
    return {str(name): count_lines(file.read_text()) for file, name in seen.items()}


def longest_functions(root: Path) -> list[tuple[int, str]]:
    """Return the lines of code of every function, without its docstring, longest first."""
    found = []
    for name in product(root):
        source = (root / name).read_text()
        lines = source.splitlines()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                start, end = node.lineno - 1, node.end_lineno or node.lineno
                body = "\n".join(line[node.col_offset :] for line in lines[start:end])
                found.append((count_lines(body), f"{name}:{node.lineno} {node.name}"))
    return sorted(found, reverse=True)


def main() -> None:
    """Print the count, the largest modules and the longest functions."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2]
    counts = product(root)
    print(f"{sum(counts.values())} lines of code in {len(counts)} modules")
    whole = {name: len((root / name).read_text().splitlines()) for name in counts}
    for name in sorted(whole, key=lambda name: -whole[name])[:8]:
        print(f"{whole[name]:6} lines, {counts[name]} of code  {name}")
    for n_lines, where in longest_functions(root)[:8]:
        print(f"{n_lines:6} lines of code  {where}")


if __name__ == "__main__":
    main()
