"""`scripts/client-types [--check]`."""

import sys

from tools.client_types.generation import FILE, generate


def main() -> int:
    """Write the file, or tell whether it is as it should be."""
    wanted = generate()
    if "--check" in sys.argv[1:]:
        if FILE.read_text(encoding="utf-8") != wanted:
            print(f"{FILE.name} is out of step with the API; run scripts/client-types")
            return 1
        return 0
    FILE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
