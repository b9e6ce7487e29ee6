// Errors of the engine; each becomes the class of the same name in outrider.errors.
#pragma once

#include <stdexcept>
#include <string>

namespace outrider {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct UsageError : Error {
  using Error::Error;
};

// Names the file's tensor or key.
struct ModelFileError : Error {
  using Error::Error;
};

struct SamplingError : Error {
  using Error::Error;
};

// `never`: it will not fit however long one waits.
struct CapacityError : Error {
  CapacityError(const std::string& message, bool never) : Error(message), never(never) {}
  bool never;
};

}  // namespace outrider
