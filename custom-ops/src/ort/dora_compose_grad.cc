#include "ort/custom_op.h"
#include "ort/problems.h"

namespace ort_dora {
namespace {

enum { kDy, kBase, kLora, kG };
enum { kDBase, kDLora, kDG };

std::vector<Shape> Infer(const Attributes&, const std::vector<Shape>& inputs) {
  ShapeCheck check;
  check.ExpectLast("dy", inputs[kDy], "channels");
  check.ExpectEqual("base", inputs[kBase], "dy", inputs[kDy]);
  check.ExpectEqual("lora", inputs[kLora], "dy", inputs[kDy]);
  check.Expect("g", inputs[kG], {"channels"});
  return {inputs[kDy], inputs[kDy], Dims{check["channels"]}};
}

void Compute(const CpuKernels& kernels, Run& run) { kernels.dora_compose_grad(ComposeGradProblem(run), run.parallel()); }

}  // namespace

DoraComposeGradProblem ComposeGradProblem(Run& run) {
  const Dims& dy = run.shape(kDy);
  DoraComposeGradProblem p;
  p.rows = 1;
  for (size_t i = 0; i + 1 < dy.size(); ++i) p.rows *= dy[i].size;
  p.channels = dy.back().size;
  p.dy = run.inputs[kDy].data;
  p.base = run.inputs[kBase].data;
  p.lora = run.inputs[kLora].data;
  p.g = static_cast<const float*>(run.inputs[kG].data);
  p.dtype = run.types.T;
  p.lora_dtype = run.types.U;
  p.scaling = run.attributes.scaling;
  p.d_base = run.output(kDBase);
  p.d_lora = run.output(kDLora);
  p.d_g = static_cast<float*>(run.output(kDG));
  return p;
}

const OpDefinition& DoraComposeGradOp() {
  static const auto& definition = *new OpDefinition{
      "DoraComposeGrad",
      {{"dy", Type::kT}, {"base", Type::kT}, {"lora", Type::kU}, {"g", Type::kFloat32}},
      {{"d_base", Type::kT, true}, {"d_lora", Type::kU, true}, {"d_g", Type::kFloat32, true}},
      /*flags=*/{},
      /*has_axis=*/false,
      Infer,
      Compute};
  return definition;
}

}  // namespace ort_dora
