// From the file's tensors to the matrices that the kernels read, some blocks at a time.
#pragma once

#include "gguf.hpp"
#include "matrix.hpp"

namespace outrider {

// What a tensor's weights become. Throws ModelFileError for a type that is not supported.
Layout layout_for(const Tensor& tensor, bool as_float);

// Fill the blocks [first, end) of the matrix that was made for this tensor. Threads may fill
// different ones at the same time. Throws ModelFileError for a weight the layout cannot hold.
void repack(const Tensor& tensor, int first, int end, Matrix& matrix);

// The tensor's bytes that these blocks are made of.
std::span<const uint8_t> source_of(const Tensor& tensor, int first, int end);

}  // namespace outrider
