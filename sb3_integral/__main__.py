"""``python -m sb3_integral`` is ``sb3-integral``."""

from sb3_integral.cli import main

if __name__ == "__main__":
    main()
