// What a run of a node asks of the kernels, whoever runs it: the problem's pointers are into the memory of the provider.
#pragma once

#include "ort/custom_op.h"

namespace ort_dora {

DoraScaleProblem ScaleProblem(Run&);
DoraComposeProblem ComposeProblem(Run&);
DoraLinearProblem LinearProblem(Run&);
DoraComposeGradProblem ComposeGradProblem(Run&);
DoraLinearBankProblem LinearBankProblem(Run&);
DoraComposeBankProblem ComposeBankProblem(Run&);

}  // namespace ort_dora
