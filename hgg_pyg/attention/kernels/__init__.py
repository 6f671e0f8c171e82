"""Our own fused kernels: numba on a CPU, Triton on CUDA."""
