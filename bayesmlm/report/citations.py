"""The works that a fit rests on."""

from __future__ import annotations

BAMBI = (
    "Capretto, T., Piho, C., Kumar, R., Westfall, J., Yarkoni, T., & Martin, O. A. (2022). Bambi: A simple interface "
    "for fitting Bayesian linear models in Python. Journal of Statistical Software, 103(15), 1-29. "
    "doi:10.18637/jss.v103.i15"
)
PYMC = (
    "Abril-Pla, O., Andreani, V., Carroll, C., Dong, L., Fonnesbeck, C. J., Kochurov, M., Kumar, R., Lao, J., "
    "Luhmann, C. C., Martin, O. A., Osthege, M., Vieira, R., Wiecki, T., & Zinkov, R. (2023). PyMC: A modern, and "
    "comprehensive probabilistic programming framework in Python. PeerJ Computer Science, 9, e1516. "
    "doi:10.7717/peerj-cs.1516"
)
NUTS = (
    "Hoffman, M. D., & Gelman, A. (2014). The No-U-Turn sampler: Adaptively setting path lengths in Hamiltonian Monte "
    "Carlo. Journal of Machine Learning Research, 15, 1593-1623."
)
NUTPIE = (
    "Seyboldt, A., & PyMC developers. nutpie: A fast sampler for Bayesian posteriors. "
    "https://github.com/pymc-devs/nutpie"
)
RSTANARM = (
    "Goodrich, B., Gabry, J., Ali, I., & Brilleman, S. rstanarm: Bayesian applied regression modeling via Stan. "
    "R package. https://mc-stan.org/rstanarm"
)
LKJ = (
    "Lewandowski, D., Kurowicka, D., & Joe, H. (2009). Generating random correlation matrices based on vines and "
    "extended onion method. Journal of Multivariate Analysis, 100(9), 1989-2001. doi:10.1016/j.jmva.2009.04.008"
)
RHAT = (
    "Vehtari, A., Gelman, A., Simpson, D., Carpenter, B., & Bürkner, P.-C. (2021). Rank-normalization, folding, and "
    "localization: An improved R-hat for assessing convergence of MCMC. Bayesian Analysis, 16(2), 667-718. "
    "doi:10.1214/20-BA1221"
)
BFMI = (
    "Betancourt, M. (2016). Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo. "
    "arXiv:1604.00695"
)
LME4 = (
    "Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal "
    "of Statistical Software, 67(1), 1-48. doi:10.18637/jss.v067.i01"
)
R2 = (
    "Nakagawa, S., & Schielzeth, H. (2013). A general and simple method for obtaining R2 from generalized linear "
    "mixed-effects models. Methods in Ecology and Evolution, 4(2), 133-142. doi:10.1111/j.2041-210x.2012.00261.x"
)
R2_SLOPES = (
    "Johnson, P. C. D. (2014). Extension of Nakagawa & Schielzeth's R2GLMM to random slopes models. Methods in Ecology "
    "and Evolution, 5(9), 944-946. doi:10.1111/2041-210X.12225"
)
R2_FAMILIES = (
    "Nakagawa, S., Johnson, P. C. D., & Schielzeth, H. (2017). The coefficient of determination R2 and intra-class "
    "correlation coefficient from generalized linear mixed-effects models revisited and expanded. Journal of the Royal "
    "Society Interface, 14, 20170213. doi:10.1098/rsif.2017.0213"
)
SATTERTHWAITE = (
    "Kuznetsova, A., Brockhoff, P. B., & Christensen, R. H. B. (2017). lmerTest package: Tests in linear mixed effects "
    "models. Journal of Statistical Software, 82(13), 1-26. doi:10.18637/jss.v082.i13"
)
KENWARD_ROGER = (
    "Kenward, M. G., & Roger, J. H. (1997). Small sample inference for fixed effects from restricted maximum "
    "likelihood. Biometrics, 53(3), 983-997. doi:10.2307/2533558"
)
