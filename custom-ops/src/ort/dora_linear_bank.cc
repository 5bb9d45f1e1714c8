#include "ort/bank.h"
#include "ort/problems.h"

namespace ort_dora {
namespace {

enum { kX, kW, kBias = kAfterBank };

std::vector<Shape> Infer(const Attributes& attributes, const std::vector<Shape>& inputs) {
  ShapeCheck check;
  check.Expect("W", inputs[kW], {"out", "in"}, attributes.transW);
  check.ExpectLast("x", inputs[kX], "in");
  check.Expect("bias", inputs[kBias], {"out"});
  CheckBank(check, attributes, inputs);
  Shape y = inputs[kX];
  if (y.has_value()) y->back() = check["out"];
  return {y};
}

void Compute(const CpuKernels& kernels, Run& run) {
  const DoraLinearBankProblem p = LinearBankProblem(run);
  CheckSlots(p.adapters);
  kernels.dora_linear_bank(p, run.parallel());
}

}  // namespace

DoraLinearBankProblem LinearBankProblem(Run& run) {
  DoraLinearBankProblem p;
  p.x = run.inputs[kX].data;
  p.W = run.matrix(kW, run.types.T, run.attributes.transW);
  p.bias = run.inputs[kBias].data;
  p.dtype = run.types.T;
  p.rows = RowsOf(run.shape(kX));
  p.adapters = BankOf(run, p.rows);
  p.y = run.output(0);
  return p;
}

const OpDefinition& DoraLinearBankOp() {
  static const auto& definition = *new OpDefinition{"DoraLinearBank",
                                                    PortsAround({"x", Type::kT}, {"W", Type::kT}, {"bias", Type::kT, true}),
                                                    {{"y", Type::kT}},
                                                    {{"transW", &Attributes::transW}},
                                                    /*has_axis=*/false,
                                                    Infer,
                                                    Compute,
                                                    BankAttributes(),
                                                    /*has_scaling=*/false};
  return definition;
}

}  // namespace ort_dora
