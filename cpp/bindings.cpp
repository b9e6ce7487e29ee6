// The extension module: everything that Python sees of the C++ core.
#include <nanobind/nanobind.h>

#include <cstring>

#include "error.hpp"

namespace nb = nanobind;

void bind_drafting(nb::module_& m);
void bind_control(nb::module_& m);
void bind_engine(nb::module_& m);
void bind_sampling(nb::module_& m);

namespace {

void raise(const char* name, const outrider::Error& error, nb::kwargs extra = {}) {
  nb::object type = nb::module_::import_("outrider.errors").attr(name);
  // A message may quote a file that is not valid UTF-8.
  nb::object message = nb::steal(PyUnicode_DecodeUTF8(
      error.what(), static_cast<Py_ssize_t>(std::strlen(error.what())), "replace"));
  nb::object value = type(message, **extra);
  PyErr_SetObject(type.ptr(), value.ptr());
}

// Most derived first: the translator is the one place that knows both families.
void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const outrider::CapacityError& error) {
    nb::dict extra;
    extra["never"] = error.never;
    raise("CapacityError", error, nb::borrow<nb::kwargs>(extra));
  } catch (const outrider::ModelFileError& error) {
    raise("ModelFileError", error);
  } catch (const outrider::SamplingError& error) {
    raise("SamplingError", error);
  } catch (const outrider::UsageError& error) {
    raise("UsageError", error);
  } catch (const outrider::Error& error) {
    raise("OutriderError", error);
  }
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "The C++ core of Outrider.";
  nb::register_exception_translator(translate);
  bind_control(m);
  bind_sampling(m);
  bind_engine(m);
  bind_drafting(m);
}
