#include "ort/custom_op.h"
#include "ort/problems.h"

namespace ort_dora {
namespace {

enum { kW, kA, kB, kM };

std::vector<Shape> Infer(const Attributes& attributes, const std::vector<Shape>& inputs) {
  ShapeCheck check;
  check.Expect("W", inputs[kW], {"out", "in"}, attributes.transW);
  check.Expect("A", inputs[kA], {"r", "in"}, attributes.transA);
  check.Expect("B", inputs[kB], {"out", "r"}, attributes.transB);
  check.Expect("m", inputs[kM], {"out"});
  return {Dims{check["out"]}};
}

void Compute(const CpuKernels& kernels, Run& run) { kernels.dora_scale(ScaleProblem(run), run.parallel()); }

}  // namespace

DoraScaleProblem ScaleProblem(Run& run) {
  const Attributes& attributes = run.attributes;
  DoraScaleProblem p;
  p.W = run.matrix(kW, run.types.T, attributes.transW);
  p.A = run.matrix(kA, run.types.U, attributes.transA);
  p.B = run.matrix(kB, run.types.U, attributes.transB);
  p.m = {run.inputs[kM].data, run.types.M};
  p.scaling = attributes.scaling;
  p.g = static_cast<float*>(run.output(0));
  return p;
}

const OpDefinition& DoraScaleOp() {
  static const auto& definition = *new OpDefinition{
      "DoraScale",
      {{"W", Type::kT}, {"A", Type::kU}, {"B", Type::kU}, {"m", Type::kM}},
      {{"g", Type::kFloat32}},
      {{"transW", &Attributes::transW}, {"transA", &Attributes::transA}, {"transB", &Attributes::transB}},
      /*has_axis=*/false,
      Infer,
      Compute};
  return definition;
}

}  // namespace ort_dora
