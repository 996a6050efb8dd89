"""The only package that touches the operating system: sockets, threads and clocks live here and nowhere else."""
