"""``python -m sb3_integral.imitation.scripts`` is ``sb3-integral imitation``."""

from sb3_integral.imitation.scripts.entry_point import main

if __name__ == "__main__":
    main()
